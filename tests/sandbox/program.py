"""What Python programs do, in a container and in a sandbox; what it says is the same each time."""

import asyncio
import ctypes
import http.server
import mmap
import multiprocessing
import os
import pty
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor


def say(*words: object) -> None:
    print(*words, flush=True)


def threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        say("threads", sum(pool.map(lambda n: n * n, range(100))))
    local = threading.local()
    local.value = 1
    made = threading.Thread(target=lambda: say("local", hasattr(local, "value")))
    made.start()
    made.join()


def processes() -> None:
    say("run", subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True))
    for words in ({"args": ["/no/such"]}, {"args": ["true"], "cwd": "/no/such"}):
        try:
            subprocess.run(**words)
        except OSError as error:
            say("refused", error.errno, error.filename)
    say("pipe", subprocess.check_output("seq 1 5 | tac", shell=True))
    cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    say("talk", len(cat.communicate(b"x" * 200000)[0]), cat.returncode)
    try:
        subprocess.run(["sleep", "5"], timeout=0.1)
    except subprocess.TimeoutExpired:
        say("timeout")
    ended = subprocess.Popen(["sleep", "5"])
    ended.send_signal(signal.SIGTERM)
    say("term", ended.wait())
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], os.environ)
    say("spawn", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    pid = os.fork()
    if pid == 0:
        ctypes.string_at(0)
    say("fault", os.WTERMSIG(os.waitpid(pid, 0)[1]))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("sh", ["sh", "-c", "tty > /dev/null && echo a terminal; stty size"])
    said = b""
    try:
        while part := os.read(terminal, 1000):
            said += part
    except OSError:
        pass
    say("pty", said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()


async def loops() -> None:
    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def ask(number: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello %d\n" % number)
        said = await reader.read()
        writer.close()
        return said

    say("asyncio", await asyncio.gather(*[ask(number) for number in range(5)]))
    sub = await asyncio.create_subprocess_exec("sh", "-c", "echo sub; exit 2", stdout=asyncio.subprocess.PIPE)
    say("child", await sub.communicate(), sub.returncode)
    loop = asyncio.get_running_loop()
    heard = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, heard.set_result, "heard")
    os.kill(os.getpid(), signal.SIGUSR1)
    say("signal", await heard, await loop.run_in_executor(None, lambda: 7))
    server.close()


def square(number: int) -> int:
    return number * number


def count(value: object) -> None:
    for _ in range(50):
        with value.get_lock():  # type: ignore[attr-defined]
            value.value += 1  # type: ignore[attr-defined]


def many() -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        say("pool", pool.map(square, range(6)))
    queue, value = context.Queue(), context.Value("i", 0)
    workers = [context.Process(target=count, args=(value,)) for _ in range(3)]
    workers.append(context.Process(target=queue.put, args=("queued",)))
    for worker in workers:
        worker.start()
    say("queue", queue.get())
    for worker in workers:
        worker.join()
    say("value", value.value)


def files() -> None:
    shared = mmap.mmap(-1, 8192)
    pid = os.fork()
    if pid == 0:
        shared[:5] = b"child"
        os._exit(0)
    os.waitpid(pid, 0)
    say("shared", shared[:5])
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789" * 1000)
        file.flush()
        mapped = mmap.mmap(file.fileno(), 0)
        mapped[0:3] = b"abc"
        mapped.flush()
        file.seek(0)
        say("mapped", file.read(5))
    with tempfile.TemporaryDirectory() as folder:
        table = sqlite3.connect(f"{folder}/table")
        table.execute("create table t(a)")
        table.executemany("insert into t values(?)", [(number,) for number in range(100)])
        table.commit()
        say("sqlite", table.execute("select sum(a) from t").fetchone())
    say("links", os.path.realpath("/proc/self/exe") == os.path.realpath(sys.executable), os.readlink("/proc/self/cwd"))


def events() -> None:
    one, other = socket.socketpair()
    reader, writer = os.pipe()
    socket.send_fds(one, [b"passed"], [writer])
    said, numbers, _, _ = socket.recv_fds(other, 10, 2)
    os.write(numbers[0], b"through it")
    say("descriptors", said, os.read(reader, 20))
    say("select", [len(found) for found in select.select([reader], [writer], [], 0)])
    os.write(writer, b"x")
    poll, epoll = select.poll(), select.epoll()
    poll.register(reader, select.POLLIN)
    epoll.register(reader, select.EPOLLIN)
    say("poll", len(poll.poll(0)), len(epoll.poll(0)))
    hits: list[int] = []
    signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    time.sleep(0.2)
    signal.setitimer(signal.ITIMER_REAL, 0)
    say("alarms", len(hits) >= 3)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    os.kill(os.getpid(), signal.SIGUSR2)
    say("waited", int(signal.sigwait([signal.SIGUSR2])) == signal.SIGUSR2)


def names() -> None:
    """A socket's path, by way of a descriptor of ours."""
    with tempfile.TemporaryDirectory() as folder:
        number = os.dup2(os.open(folder, os.O_RDONLY), 50)
        for path in (f"{folder}/one", f"/proc/self/fd/{number}/two"):
            server, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
            server.bind(path)
            server.listen()
            client.connect(path)
        say("names", sorted(os.listdir(folder)))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


def web() -> None:
    os.chdir("/etc")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/passwd") as answer:
        say("web", answer.status, b"root" in answer.read())
    server.shutdown()


for step in (threads, processes, many, files, events, names, web):
    step()
asyncio.run(loops())
threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
os.execv("/bin/sh", ["sh", "-c", "echo executed; exit 5"])
