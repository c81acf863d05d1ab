"""The console command `ibkr-assets`: a thin face, one function a command."""
