/* virtio-net, virtio 1.2 section 5.1: a tap device, both directions in one thread. */
#ifndef MINIRUN_NET_H
#define MINIRUN_NET_H

#include "virtq.h"
#include "worker.h"

#define NET_HEADER 12 /* struct virtio_net_hdr_v1: the tap's and the driver's are the same */
#define NET_PACKET_MOST (NET_HEADER + 14 + 65550) /* a segment before it is cut, with its Ethernet header */

struct net {
    struct worker worker;
    struct virtq *rx, *tx;
    int tap;
    bool mergeable;
    bool stuck;     /* the tap takes no more: wait until it does */
    bool hungry;    /* there is no buffer for the packet: wait for a kick */
    size_t waiting; /* bytes of a packet in hand */
    uint64_t received, sent, dropped;
    struct virtq_chain chain;
    uint8_t packet[NET_PACKET_MOST];
};

int net_start(struct net *net, int rx_kick, int tx_kick);
void net_end(struct net *net);
void net_activate(struct net *net);
void net_reset(struct net *net);
/* The packet in hand into the driver's buffers: 1 done (or dropped), 0 no room yet, -1 the queue broke. */
int net_deliver(struct net *net);

#endif
