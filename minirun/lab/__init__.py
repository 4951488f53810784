"""For classes and the curious: the same thing done in several ways, side by side, with everything shown.

``minirun compare``, in this order: ``isolations`` (who takes part), ``bundles`` (the bundle with a measuring program in
it), ``watch`` (what the host sees of a run), ``runs`` (one run of each kind), ``compare`` (all of them, in turns),
``figures`` (from samples to rows), ``table`` and ``page`` (rows as text, as HTML).
"""
