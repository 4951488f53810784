"""OCI images: names, a content store, registries and archives, layers as overlay directories, snapshots."""
