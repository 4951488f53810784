"""Micro-VMs over the KVM ioctls: the same bundle behind hardware virtualization.

What a machine is asked to be is planned (``plan.hardware``, ``plan.machine``).  Then read in this order: ``layout``
(where everything lies, and why), ``boot`` (how a kernel is entered), ``machine`` (build, run), ``bus`` and ``devices``
(what the guest can touch), ``channel`` and ``relay`` (the words between host and guest), ``process`` (the VMM as a
process of the host's, where init would stand), ``vmm`` (its main), ``confine`` (its cell), ``control`` and ``visitor``
(exec).
"""
