"""What model servers print: tables of real lines and the fields expected."""
