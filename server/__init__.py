"""The on-premise inference server. Reads bundles only: knows neither torch nor the trainer."""
