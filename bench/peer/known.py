"""Differences that are known and kept, with why: (where it is, ours, theirs), each a regular expression; None: anything."""
KNOWN = (
    # Lists of custom resources have "continue": "" at the end in Kubernetes, those of other kinds have none. No client tells them apart.
    (r"metadata\.continue$", r"\(absent\)", r""),
    # An unknown path is a Status here; there a line of text, which clients turn into such a Status.
    (r"^(header content-type|)$", None, r"text/plain; charset=utf-8|404 page not found"),
    # The media types of an answer depend on its path.
    (r"^header vary$", "Accept", "None"),
    # The columns of what every object has are described in our words.
    (r"columnDefinitions\[0\]\.description$", None, None),
    # A conflict of apply also says here whose it is.
    (r"details\.(group|kind|name)$", None, r"\(absent\)"),
)
