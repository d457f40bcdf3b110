"""``python moto_in_turn.py …``: moto's server, whose streams take one record after the other. Its own are "not safe for
concurrency" (``moto/kinesis/models.py``): of two that come at once they forget one.
"""

import threading

from moto.kinesis.models import Shard
from moto.server import main

_lock = threading.Lock()
_put_record = Shard.put_record


def _in_turn(self: Shard, partition_key: str, data: str, explicit_hash_key: str) -> str:
    with _lock:
        return _put_record(self, partition_key, data, explicit_hash_key)


if __name__ == "__main__":
    Shard.put_record = _in_turn  # type: ignore[method-assign]
    main()
