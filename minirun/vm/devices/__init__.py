"""What a guest can touch: each device one module; every word that a guest writes is an attack until it is checked."""
