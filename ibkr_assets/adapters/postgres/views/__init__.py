"""What people look at: rows as pages show them, read only. Nothing that decides reads these."""
