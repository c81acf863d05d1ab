"""ibkr_assets: an asset-based data and trading platform for Interactive Brokers, on Dagster."""
