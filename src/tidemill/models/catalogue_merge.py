"""Which claim wins, when lists disagree.

A price belongs to a seller. Among the lists that name it there, the newest wins; of one date, the list of the better rank; and
a price of zero loses against one above zero, since a list often writes 0 for "not metered" or "not known".

Everything else belongs to the model. What its maker says where it sells itself counts before what others say of it; where the
maker is not listed, what most say. Within that, again the newest, then the rank.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tidemill.core.json import Json
from tidemill.models.catalogue_listing import FEATURES, FIELDS, PRICES, Claim, Fact, Listing, Offer
from tidemill.models.catalogue_names import is_own_seller

RULE = (
    "A price: the newest list wins, then the better rank; zero loses against a price. Anything else: what the maker says where "
    "it sells itself, else what most say; of these the newest, then the better rank."
)
_PRICES = frozenset(PRICES)


def in_order(listings: Iterable[Listing]) -> tuple[Listing, ...]:
    """The newest first, by rank within a date: the order in which claims are heard."""
    by_rank = sorted(listings, key=lambda each: each.source.rank)
    return tuple(sorted(by_rank, key=lambda each: each.as_of, reverse=True))


def winners(listings: Sequence[Listing], *, maker: str) -> dict[str, Json]:
    """The value of each field but prices; `listings` in order. The same as `facts_of`, without the claims."""
    own: dict[str, Json] = {}
    said: defaultdict[str, list[Json]] = defaultdict(list)
    for each in listings:
        is_own = is_own_seller(each.seller, maker)
        for name, value in each.facts.items():
            if name not in _PRICES:
                said[name].append(value)
                if is_own:
                    own.setdefault(name, value)
    return {name: own[name] if name in own else _most_said(values) for name, values in said.items()}


def facts_of(listings: Sequence[Listing], *, maker: str) -> Mapping[str, Fact]:
    """Each field that some list speaks of, with every claim; `listings` in order."""
    won = winners(listings, maker=maker)
    found: dict[str, Fact] = {}
    for name in (*FIELDS, *FEATURES):
        if name in won:
            claims = _claims(listings, name)
            own = [each for each in claims if is_own_seller(each.seller, maker)]
            found[name] = Fact(won=next(each for each in own or claims if each.value == won[name]), claims=tuple(claims))
    return found


def cheapest(listings: Iterable[Listing], *, seller: str | None = None) -> tuple[float, float | None] | None:
    """The lowest price above zero of input and of output at that seller, in US dollars a million tokens; 0 where all are 0."""
    prices: dict[tuple[str, str], tuple[float, float | None]] = {}
    for each in listings:
        price = each.facts.get("input_price")
        if price is not None and (seller is None or each.seller == seller):
            output = each.facts.get("output_price")
            at = (each.seller, each.id)
            new = (float(str(price)), None if output is None else float(str(output)))
            if at not in prices or (prices[at][0] == 0 < new[0]):
                prices[at] = new
    return min(prices.values(), key=lambda each: (each[0] == 0, each[0]), default=None)


def offers_of(listings: Sequence[Listing]) -> tuple[Offer, ...]:
    """The model at each seller, under each id, the cheapest first; `listings` in order.

    What costs nothing is a trial or a plan more often than a price: it stands after what is metered, before what has no price.
    """
    groups: defaultdict[tuple[str, str], list[Listing]] = defaultdict(list)
    for each in listings:
        groups[each.seller, each.id].append(each)
    offers = [Offer(seller=seller, id=id_, prices=_prices(rows)) for (seller, id_), rows in groups.items()]
    return tuple(sorted(offers, key=_dearness))


def _prices(rows: Sequence[Listing]) -> Mapping[str, Fact]:
    found: dict[str, Fact] = {}
    for name in PRICES:
        claims = _claims(rows, name)
        if claims:
            metered = [each for each in claims if each.value]
            found[name] = Fact(won=(metered or claims)[0], claims=tuple(claims))
    return found


def _claims(listings: Sequence[Listing], name: str) -> list[Claim]:
    return [
        Claim(value=value, source=each.source.name, date=each.as_of, seller=each.seller)
        for each in listings
        if (value := each.facts.get(name)) is not None
    ]


def _most_said(values: Sequence[Json]) -> Json:
    if len(values) == 1:
        return values[0]
    votes = Counter(map(_hashable, values))
    most = max(votes.values())
    return next(each for each in values if votes[_hashable(each)] == most)


def _hashable(value: Json) -> object:
    return tuple(value) if isinstance(value, list) else value


def _dearness(offer: Offer) -> tuple[bool, bool, float, str, str]:
    price = offer.price("input_price")
    return (price is None, price == 0, price or 0.0, offer.seller, offer.id)
