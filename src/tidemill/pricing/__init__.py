"""What tokens cost, by provider and model. Who used them is in `telemetry/`."""

from tidemill.pricing.overrides import PRICES, Overrides, PriceOverride, read_prices
from tidemill.pricing.prices import Priced, cost_of, price_of
from tidemill.pricing.rates import Rates

__all__ = ["PRICES", "Overrides", "PriceOverride", "Priced", "Rates", "cost_of", "price_of", "read_prices"]
