"""The audit: laws, seals, export, and the two ways in which the trail may be cut down."""
