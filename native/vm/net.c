#include "net.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define TAP 3 /* its place in worker.fds, behind the bell and the two kicks */

/* Into as many buffers as it takes (MRG_RXBUF), or into one; all of them are given back at once, or none. */
int net_deliver(struct net *net)
{
    struct virtq *rx = net->rx;
    struct iovec number[2]; /* where num_buffers goes: in the first buffer, and known last */
    int pieces = 0;
    uint16_t count = 0;
    size_t done = 0;
    while (done < net->waiting) {
        int found = virtq_next(rx, &net->chain);
        if (found <= 0) {
            virtq_rewind(rx, count);
            return found;
        }
        if (net->chain.write_size < (count ? 1u : NET_HEADER)) /* not even the header */
            return virtq_break(rx);
        if (!count)
            pieces = virtq_slice(&net->chain, true, NET_HEADER - 2, 2, number, 2);
        size_t size = virtq_copy_to(&net->chain, 0, net->packet + done, net->waiting - done);
        virtq_put(rx, count++, net->chain.head, (uint32_t)size);
        done += size;
        if (done < net->waiting && !net->mergeable) { /* too long for this driver */
            virtq_rewind(rx, count);
            net->dropped++;
            return 1;
        }
    }
    uint8_t little[2] = {(uint8_t)count, (uint8_t)(count >> 8)};
    for (int i = 0, at = 0; i < pieces; at += (int)number[i++].iov_len)
        memcpy(number[i].iov_base, little + at, number[i].iov_len);
    virtq_publish(rx, count);
    net->received++;
    return 1;
}

static bool receive(struct net *net)
{
    for (uint32_t i = 0; i < net->rx->size; i++) {
        if (!net->waiting) {
            ssize_t size = read(net->tap, net->packet, sizeof net->packet);
            if (size < NET_HEADER)
                return false; /* nothing there, or the tap is gone */
            net->waiting = (size_t)size;
        }
        int found = net_deliver(net);
        if (found == 0) { /* ask for a kick, then look again: some may have come in between */
            virtq_enable(net->rx);
            found = net_deliver(net);
        }
        net->hungry = found <= 0;
        if (net->hungry)
            return false;
        net->waiting = 0;
    }
    return true;
}

static bool send_packets(struct net *net)
{
    struct virtq *tx = net->tx;
    for (uint32_t i = 0; i < tx->size; i++) {
        struct virtq_chain *chain = &net->chain;
        if (virtq_next(tx, chain) <= 0) {
            if (virtq_enable(tx))
                continue;
            return false;
        }
        /* the kernel checks the header against the packet; what it refuses is dropped, as by a wire */
        ssize_t done = chain->read_size > NET_PACKET_MOST ? -1 : writev(net->tap, chain->iov, chain->readable);
        if (done < 0 && errno == EAGAIN && chain->read_size <= NET_PACKET_MOST) {
            virtq_undo(tx, chain);
            net->stuck = true;
            return false;
        }
        done < 0 ? net->dropped++ : net->sent++;
        virtq_push(tx, chain, 0);
    }
    return true;
}

static bool exchange(void *device)
{
    struct net *net = device;
    struct pollfd *tap = &net->worker.fds[TAP];
    bool more = false;
    net->stuck = false;
    if (virtq_lives(net->tx)) {
        virtq_disable(net->tx);
        more = send_packets(net);
        virtq_notify(net->tx);
    }
    if (virtq_lives(net->rx)) {
        virtq_disable(net->rx);
        more |= receive(net);
        virtq_notify(net->rx);
    }
    /* a negative descriptor is not waited for; and a tap that is gone (POLLERR) is not either */
    bool gone = tap->revents & (POLLERR | POLLNVAL | POLLHUP);
    bool wanted = net->stuck || (virtq_lives(net->rx) && !net->hungry);
    tap->fd = wanted && !gone ? net->tap : -1;
    tap->events = (short)((net->hungry ? 0 : POLLIN) | (net->stuck ? POLLOUT : 0));
    return more;
}

int net_start(struct net *net, int rx_kick, int tx_kick)
{
    const int kicks[] = {rx_kick, tx_kick};
    return worker_start(&net->worker, "virtio-net", kicks, 2, exchange, net);
}

void net_end(struct net *net) { worker_end(&net->worker); }

void net_activate(struct net *net)
{
    net->stuck = net->hungry = false;
    net->waiting = 0;
    worker_walk(&net->worker);
}

void net_reset(struct net *net) { worker_stand(&net->worker); }
