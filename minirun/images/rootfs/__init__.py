"""Root filesystems from recipes: a small file says what goes in, ``make`` makes an image of it.

recipe     PURE  a recipe file (rootfs/*.toml), checked: what it may say, every mistake by name
tree             the files of a root filesystem to be: paths, modes, owners, where the content is
layer            the tree as a tar archive, byte for byte the same whenever the tree is
elf        PURE  what an ELF file needs: its loader, its libraries, where it looks for them
libraries        where this host has them, as its loader would find them
busybox, host, debian    what fills the tree
lock             which packages, which versions, which digests
make             from a recipe's name to an image in the store
"""
