import gc
import weakref

from memory_directory import MemoryDirectory

from tfstream.fetch.counters import Counters
from tfstream.fetch.downloads import Downloads
from tfstream.fetch.objects import RemoteObject, Want, Writer, bring


def test_bytes_that_nobody_wants_any_more_are_freed_at_once():
    directory = MemoryDirectory({"shard": bytes(1000)})
    downloads = Downloads(1)
    target = RemoteObject(directory, directory.stat("shard"), None, downloads, Writer())
    want = Want(target, [(0, 1000)])
    gc.disable()
    try:
        bring([want], Counters())
        kept = weakref.ref(want.pieces[0].data.obj)
        want.pieces.clear()
        downloads.call(lambda: None).result()  # the thread that fetched has let go of it
        downloads.close()
        assert kept() is None
    finally:
        gc.enable()
