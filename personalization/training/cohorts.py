"""Who a model is measured on: groups that a page can be told to belong to when it is served."""

COHORTS = (
    "all",
    "zero_prior_events",
    "prior_events_1_5",
    "prior_events_6_plus",
    "logged_out",
    "logged_in",
)
BIT = {name: 1 << place for place, name in enumerate(COHORTS)}


def cohorts_of(prior: int, user: str | None) -> int:
    """The bits of a page for somebody with ``prior`` events before."""
    bits = BIT["all"] | BIT["logged_out" if user is None else "logged_in"]
    if prior == 0:
        return bits | BIT["zero_prior_events"]
    return bits | BIT["prior_events_1_5" if prior <= 5 else "prior_events_6_plus"]
