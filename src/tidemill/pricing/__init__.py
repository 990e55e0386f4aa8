"""What tokens cost, by provider and model. Who used them is in `telemetry/`."""

from tidemill.pricing.prices import cost_of

__all__ = ["cost_of"]
