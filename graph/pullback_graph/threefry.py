"""The constants of Threefry-2x32, for every executor that has it.

Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", table 2.
"""

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
"""Left rotations of the second word, a round each; the two rows take turns."""
PARITY = 0x1BD11BDA
"""What the key's two words are xor-ed with to be its third."""
