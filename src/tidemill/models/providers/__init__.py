"""One file a dialect. Each turns `core.chat` records into a vendor's wire form and back, and its failures into our errors."""
