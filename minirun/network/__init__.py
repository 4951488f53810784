"""Networks for containers, by netlink: bridges, addresses, NAT and published ports through nftables; CNI if named."""
