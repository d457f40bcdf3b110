"""What model servers print: lines from their documentation, sources and public logs, and the fields expected."""
