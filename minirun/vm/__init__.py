"""Micro-VMs over the KVM ioctls: the same bundle behind hardware virtualization.

Read in this order: ``config`` (what a machine is asked to be), ``layout`` (where everything lies, and why), ``boot``
(how a kernel is entered), ``machine`` (build, run), ``bus`` and ``devices`` (what the guest can touch), ``process``
(the VMM as a process of the host's: confined, detached, found again).
"""
