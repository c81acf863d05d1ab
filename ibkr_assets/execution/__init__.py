"""The order of effects around an order, over ports: propose, submit, reconcile."""
