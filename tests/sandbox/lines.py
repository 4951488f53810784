"""150 generated command lines of busybox's shell: what a container prints, a sandbox prints.

Written by hand where a call or a habit of shells is meant; the rest are pipelines put together by a seeded generator.
"""

from __future__ import annotations

import random
from pathlib import Path

SEED = 7
COUNT = 150
# Each runs in a directory of its own with: a b c (short texts), n (numbers), d/ (three files, a link, a folder).
PREPARE = r"""
printf 'pear\napple\nfig\napple\n' > a; printf 'one two three\nfour five six\n' > b; : > c; seq 1 30 > n
mkdir -p d/e; echo 1 > d/x.c; echo 22 > d/y.c; echo 333 > d/z.h; ln -s x.c d/l; chmod 640 d/x.c; chmod 755 d d/e
touch -d '2001-02-03 04:05:06' a b c n d/x.c d/y.c d/z.h
"""
BY_HAND = r"""
echo hello world
printf '%s-%05d-%x\n' abc 42 255
expr 6 \* 7; expr length foobar; expr 1 = 2
echo $((0x1f + 010 - 3 ** 2))
cat a b | wc -lwc
sort a | uniq -c | sort -rn
sed -e 's/a\(p*\)le/<\1>/' -n -e '/</p' a
awk '{ s += $1 } END { print s, NR }' n
awk 'BEGIN { while (("sort a" | getline l) > 0) print "got", l; system("echo sys"); exit 3 }'
find d -type f | sort | xargs wc -c
find d -name '*.c' -exec echo {} \; | sort
find . -newer a -type l | sort; find . -name n -mtime +100
grep -n five b; grep -c apple a; grep -v apple a; grep -q nope a
for i in 1 2 3; do for j in a b; do echo "$i$j"; done; done | tail -n 2
i=0; while [ $i -lt 5 ]; do i=$((i+1)); [ $i = 3 ] && continue; echo $i; done
case foo.c in *.h) echo header;; *.[co]) echo source;; esac
f() { local x=$1; shift; echo "$x:$#:$*"; return 4; }; f 1 2 3; echo $?
(exit 3) || echo "was $?"
false | true; echo $?; true | false; echo $?
cat <<END
$((1+1)) `echo sub` $(echo more)
END
cat <<'END' | tr a-z A-Z
no $expansion here
END
echo err >&2; echo out
echo one > o; echo two >> o; cat < o; wc -c < o
exec 5> five; echo to five >&5; exec 5>&-; cat five; echo gone >&5
exec 6< n; read x <&6; read y <&6; echo $x $y
ls /nonexistent
cat nope 2>&1 >/dev/null | sed 's/^/E: /'
nosuchcommand; echo $?
./c; echo $?
chmod +x c; ./c; echo $?
printf '#!/bin/sh\necho script $0 $1\nexit 9\n' > s; chmod +x s; ./s arg; echo $?
printf '#!/no/such/interpreter\n' > s; chmod +x s; ./s; echo $?
printf 'not a program\n' > s; chmod +x s; ./s
trap 'echo bye' EXIT; echo body; exit 5
trap 'echo caught' USR1; kill -USR1 $$; echo after
trap '' TERM; kill -TERM $$; echo survived
sh -c 'kill -TERM $$'; echo $?
sh -c 'kill -KILL $$'; echo $?
sh -c 'kill -SEGV $$' 2>&1; echo $?
sleep 0.05 & wait $!; echo $?
(sleep 0.02; exit 7) & p=$!; wait $p; echo $?
sleep 10 & kill $!; wait $! 2>/dev/null; echo $?
sleep 10 & p=$!; kill -STOP $p; kill -CONT $p; kill -INT $p; kill $p; wait $p 2>/dev/null; echo $?
for i in 1 2 3 4 5; do (echo $i) & done | sort; wait
yes | head -n 3
yes | head -c 100000 | wc -c
head -c 5 a; tail -c 4 a
dd if=n of=o bs=7 count=3 2>/dev/null; cat o
dd if=/dev/zero bs=1024 count=64 2>/dev/null | sha256sum
dd if=n bs=1 skip=4 seek=2 count=5 conv=notrunc of=o 2>/dev/null; od -c o
head -c 300000 /dev/urandom | wc -c
gzip -c n | gzip -dc | cmp - n && echo same
gzip n && ls n.gz && gunzip n.gz && md5sum n
tar cf t.tar d && tar tf t.tar | sort
tar czf t.tgz d && mkdir u && tar xzf t.tgz -C u && ls -R u
tar cf - d | (mkdir v; cd v; tar xf -); find v | sort
sha256sum a b n | sort; sha1sum < a; md5sum a; cksum a; sha512sum c
echo abc | base64; echo YWJjCg== | base64 -d
stat -c '%n %s %a %F %h' a c d d/l d/x.c
stat -c '%Y %y' a; stat -f -c %n a
touch -d '2020-01-02 03:04:05' q; stat -c %y q; date -u -r q +%F-%T
date -u -d @86400 +%F; date -u -d '2000-02-29 12:00' +%s; date -u -d bogus
ln a hard; stat -c %h a; ln -s a soft; readlink soft; ls -l soft | cut -c1-10; ln a b
readlink -f d/../d/l; realpath d/l; readlink a; basename /x/y.c .c; dirname /x/y.c
mv a aa; ls aa a; mv b d; ls d; mv nope x
cp -r d dd; ls -R dd; cp -p a ap; stat -c %Y ap; cp nope x
chmod 600 a; stat -c %a a; chmod u+x,g=r a; stat -c %a a; chmod 4755 a; stat -c %A a
umask; umask 077; echo > priv; stat -c %a priv; mkdir pd; stat -c %a pd
mkdir -p p/q/r; rmdir p/q/r; ls p/q; rmdir p; rm -r p; ls p
mkdir x; mkdir x; rmdir x; rmdir x
rm nope; rm -f nope; rm d; rm -rf d; ls
mkfifo pipe; (echo through > pipe) & cat pipe; wait; stat -c %F pipe
mkfifo pipe; cat < pipe & echo data > pipe; wait
mknod null c 1 3; echo x > null; stat -c '%F %t %T' null
du -s c; du -a d | wc -l
test -f a && test -d d && test -L d/l && test -x d && test ! -e nope && test a -ot /etc/passwd; echo $?
[ -s c ]; echo $?; [ -p c ]; echo $?; [ -r a -a -w a ]; echo $?; [ 3 -gt x ]; echo $?
id -u; id -g; whoami; groups 2>&1 | head -1
uname -s; uname -m; hostname
pwd; cd d/e; pwd; cd -; cd nope; echo $?
env -i A=1 B=2 env; env | grep -c PATH
echo $# $0 | head -c 4; set -- a b c; echo $3 $#; shift 2; echo $1
echo ${x:-default} ${HOME#/} ${PATH%%:*}; y=hello.c; echo ${y%.c} ${#y} ${y/l/L}
IFS=:; set -- $(echo a:b:c); echo $2
read l < b; echo "$l"; while read p q; do echo "$q/$p"; done < b
echo 'a  b' | while read -r x y; do echo "$y$x"; done
printf 'a\0b\0' | xargs -0 -n1 echo item; seq 5 | xargs -n2; seq 3 | xargs -I{} echo '<{}>'
echo a b c | xargs -n1 sh -c 'exit 1'; echo $?
cut -d' ' -f2 b; cut -c2-4 a; paste a n | head -2; tr -d aeiou < a; rev a 2>&1; tac a; nl b; fold -w5 b
head -n -28 n; tail -n +29 n; split -l 10 n part; ls part*; cat partaa | wc -l
comm -12 n n | wc -l; diff a b; cmp a b; echo $?
seq 10 | sed -n '2~3p;$='; seq 3 | sed '2i\inserted'; sed -i 's/one/ONE/' b; cat b
expand -t4 b | unexpand | head -1; printf '\t|\n' | expand; strings -n 3 b; hexdump -C b | head -2; xxd b | head -1
od -An -tx1 b | head -2; sum a; factor 360 97; seq -s, 1 5; printf '%b' 'x\ty\n'
bc 2>/dev/null <<END || echo none
2^100
END
echo '3 4 + p' | dc
tee t1 t2 < a > /dev/null; cat t1 t2 | wc -l
echo z | cat a - b | tail -3
ulimit -n 50; ulimit -n; ulimit -c
sh -c 'ulimit -n 4; exec 3</dev/null; exec 4</dev/null; echo $?' 2>&1
(ulimit -f 1; dd if=/dev/zero of=big bs=4096 count=4) 2>/dev/null; echo $?; wc -c < big
sh -n s 2>&1; sh -c 'if' 2>&1; echo $?; sh -c 'echo $0 $1' name arg; sh -c exit; echo $?
set -e; false; echo not reached
set -u; echo $undefined; echo not reached
set -o pipefail; false | cat; echo $?
set -x; echo traced $((1+1))
set -C; echo x > a; echo $?
eval 'echo eval $((2*3))'; . ./nope; echo not reached
printf 'echo sourced; x=5\n' > src; . ./src; echo $x
type cd; command -v sh; alias q='echo aliased'; alias
getopts ab: o -b val; echo $o $OPTARG
time -f %C true 2>&1; timeout 0.05 sleep 5; echo $?
nice -n 5 nice; nice; sh -c 'echo $PPID' | grep -c '^[0-9]'; renice -n 1 -p $$; nice
ls -la d | awk '{ print $1, $5, $NF }' | sed 's/^total .*//'
ls -1 *; echo [a-b]; echo d/*.c; echo nope*; echo d/?.[ch]; echo .*
ls -i a | awk '{ print $2 }'; ls -F d; ls -d */
cat /proc/self/cmdline | tr '\0' ' '; cat /proc/sys/kernel/ostype; cat /proc/self/comm
readlink /proc/self/cwd | grep -c /; [ -e /proc/self/exe ] && echo exe
cat /dev/null; echo x > /dev/null; head -c 4 /dev/zero | od -c; ls /dev/fd/0 > /dev/null
echo from | cat /dev/stdin; echo to | tee /dev/stdout | cat
echo out > /dev/stdout; echo err > /dev/stderr; sh < /dev/null; echo 'echo piped $0' | sh
ls /proc/self/fd | wc -l; ls /proc/self/task | wc -l
cat /proc/uptime | wc -w; grep -c MemTotal /proc/meminfo; cat /proc/1/comm > /dev/null && echo yes
mktemp -u | grep -c tmp; T=$(mktemp -d); ls -A $T; rmdir $T; mktemp nope/XXXXXX 2>&1 | sed 's/X.*//'
truncate -s 10000 sp; stat -c %s sp; du sp | cut -f1; truncate -s 3 a; cat a
fsync a 2>&1; sync; flock l echo locked; flock -n l sh -c 'flock -n l echo no; echo $?'
chown 12:34 a; stat -c %u:%g a; chgrp 5 b; stat -c %g b; su nobody -s /bin/sh -c id 2>&1 | head -1
setsid sh -c 'echo in a session'; nohup echo nohup 2>/dev/null; usleep 1000; echo done
pidof nosuch; echo $?; kill -0 $$; echo $?; kill -0 99999; echo $?; kill -l 9; kill -l TERM
ps -o comm | grep -c sh > /dev/null; echo $?; pgrep nosuch; echo $?
wget -q -O- http://127.0.0.1:9/ 2>&1; echo $?; nc -w1 127.0.0.1 9 < /dev/null 2>&1; echo $?
(echo reply | nc -l -p 7001 -s 127.0.0.1 > got &) ; sleep 0.2; echo ask | nc -w2 127.0.0.1 7001; sleep 0.1; cat got
mkdir www; echo page > www/index.html; httpd -p 127.0.0.1:7002 -h www; wget -q -O- http://127.0.0.1:7002/
"""


def by_hand() -> list[str]:
    """A here-document's lines belong to its first."""
    lines: list[str] = []
    end = ""
    for row in BY_HAND.strip().splitlines():
        if end:
            lines[-1] += "\n" + row
            end = "" if row == end else end
            continue
        lines.append(row)
        if "<<" in row:
            end = "END"
    return lines


BEGINNINGS = (
    "cat a", "cat n", "seq 1 {k}", "cat a b n", "find d | sort", "ls -1 d", "tr ' ' '\\n' < b", "(cat a; cat b)",
    "for i in $(seq {k}); do echo $((i * i % 7)) $i; done", "echo d/* a b", "yes x | head -n {k}",
    "awk '{{ print $NF, NR }}' b n", "printf '%03d\\n' $(seq {k})",
)  # fmt: skip
FILTERS = (
    "sort", "sort -r", "sort -n", "sort -k2", "uniq", "uniq -c", "head -n {k}", "tail -n {k}", "grep -v a", "grep -n 1",
    "sed 's/[0-9]/<&>/g'", "sed -n '{k},$p'", "tr a-z A-Z", "awk '{{ print NR \":\" $0 }}'", "cut -c1-4", "rev", "tac",
    "nl", "cat -n", "while read x; do echo \"[$x]\"; done", "xargs -n3", "gzip | gunzip", "tee copy", "(read x; cat)",
    "dd bs=3 2>/dev/null", "cat - c", "fold -w3",
)  # fmt: skip
ENDS = (
    "", " > o; cat o", " 2>&1 | md5sum", " | wc", "; echo $?", " | (cat; exit 3); echo $?", " > o && sha256sum < o",
    " | head -n 1", " >> a; tail -n 3 a", " > o & wait; echo $?; cat o",
)  # fmt: skip


def generated(source: random.Random) -> str:
    """A pipeline: a beginning, some filters, an end."""
    parts = [source.choice(BEGINNINGS), *[source.choice(FILTERS) for _ in range(source.randint(1, 4))]]
    return (" | ".join(parts) + source.choice(ENDS)).format(k=source.randint(1, 12))


def lines() -> list[str]:
    source = random.Random(SEED)
    hand = by_hand()
    return hand + [generated(source) for _ in range(COUNT - len(hand))]


def write(folder: Path) -> None:
    """Each line in a file, and what runs them one after the other: /tmp/N.out, N.err, N.code have what they say."""
    folder.mkdir()
    for number, line in enumerate(lines()):
        (folder / str(number)).write_text(line + "\n")
    begin = f"mkdir /tmp/base && cd /tmp/base && ({PREPARE}) && cd /tmp || exit 1"
    each = "cp -a base here; cd here; sh /lines/$i > /tmp/$i.out 2> /tmp/$i.err < /dev/null; echo $? > /tmp/$i.code"
    after = "cd /tmp; rm -rf here"
    loop = f"i=0; while [ $i -lt {COUNT} ]; do {each}; {after}; i=$((i+1)); done"
    (folder / "all").write_text(f"{begin}\n{loop}\n")


def answers(tmp: Path) -> list[str]:
    return [
        "\n".join((tmp / f"{number}.{what}").read_text(errors="replace") for what in ("code", "out", "err"))
        for number in range(COUNT)
    ]
