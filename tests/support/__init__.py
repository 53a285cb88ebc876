"""What every black-box test and bench needs: the program, the emulator, moto, and requests to send."""
