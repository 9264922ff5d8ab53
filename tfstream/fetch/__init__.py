"""Places of records -> their bytes: read ahead, many at once, retried and hedged."""
