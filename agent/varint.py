"""Numbers as protobuf, and what borrows from it, writes them: seven bits a byte, the lowest first; all but the last
byte have the highest bit set."""


def varint(number: int) -> bytes:
    """A number that is not negative."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
