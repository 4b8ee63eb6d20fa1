"""A file seen through an overlay: reads fall through to it, writes stay in memory until they are taken.

HDF5 has no journal: while it rewrites its own structures in place, a killed process leaves a broken file. Here it
works on this overlay instead, and what it changed is applied by `publish` in one step.
"""

import os
from dataclasses import dataclass

PAGE = 4096


@dataclass(frozen=True)
class Delta:
    """What changed: bytes at offsets, and the file's new size."""

    writes: tuple[tuple[int, bytes], ...]
    size: int

    @property
    def written(self) -> int:
        """Bytes that applying it writes."""
        return sum(len(data) for _, data in self.writes)


class Overlay:
    """A seekable binary file over `base` (a descriptor open for reading; None: an empty file), as h5py needs it."""

    def __init__(self, base: int | None = None) -> None:
        self._position = 0
        self.rebase(base)

    def rebase(self, base: int | None) -> None:
        """Forget what was written: `base` holds it now."""
        self._base = base
        self._base_size = os.fstat(base).st_size if base is not None else 0
        self._size = self._base_size
        self._pages: dict[int, bytearray] = {}
        self._tail = bytearray()

    def take(self) -> Delta:
        """The changes against the base; the overlay keeps them until `rebase`."""
        pages = ((page * PAGE, bytes(data)) for page, data in sorted(self._pages.items()))
        inside = tuple((at, data[: self._base_size - at]) for at, data in pages)
        tail = ((self._base_size, bytes(self._tail)),) if self._tail else ()
        return Delta(inside + tail, self._size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As io.IOBase.seek."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """As io.IOBase.tell."""
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def truncate(self, size: int | None = None) -> int:
        """Set the size; what lies beyond it in the base reads as before if the file grows again."""
        self._size = self._position if size is None else size
        tail = max(0, self._size - self._base_size)
        self._tail[tail:] = bytes(max(0, tail - len(self._tail)))
        return self._size

    def readinto(self, buffer: memoryview) -> int:
        """Read at the position; fewer bytes at the end of the file."""
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._position))
        inside = max(0, min(wanted, self._base_size - self._position))
        if inside:
            self._read_base(view[:inside])
        if inside < wanted:
            start = self._position + inside - self._base_size
            view[inside:wanted] = self._tail[start : start + wanted - inside]
        self._position += wanted
        return wanted

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, all that are left where negative."""
        buffer = bytearray(max(0, self._size - self._position) if size < 0 else size)
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def write(self, data: memoryview) -> int:
        """Write at the position, in memory."""
        view = memoryview(data).cast("B")
        inside = max(0, min(len(view), self._base_size - self._position))
        self._write_pages(view[:inside])
        if inside < len(view):
            start = self._position + inside - self._base_size
            end = start + len(view) - inside
            self._tail.extend(bytes(max(0, end - len(self._tail))))
            self._tail[start:end] = view[inside:]
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def _read_base(self, view: memoryview) -> None:
        """Fill `view` from the base at the position, changed pages laid over it."""
        if self._base is not None:
            view[:] = os.pread(self._base, len(view), self._position)
        first, last = self._position // PAGE, (self._position + len(view) - 1) // PAGE
        for page in range(first, last + 1) if self._pages else ():
            if page in self._pages:
                start = max(self._position, page * PAGE)
                end = min(self._position + len(view), (page + 1) * PAGE)
                source = self._pages[page][start - page * PAGE : end - page * PAGE]
                view[start - self._position : end - self._position] = source

    def _write_pages(self, view: memoryview) -> None:
        """Lay `view` over the base's pages at the position."""
        at = self._position
        end = at + len(view)
        while at < end:
            page = at // PAGE
            stop = min(end, (page + 1) * PAGE)
            target = self._pages.get(page)
            if target is None:
                target = self._pages[page] = self._page(page)
            source = view[at - self._position : stop - self._position]
            target[at - page * PAGE : stop - page * PAGE] = source
            at = stop

    def _page(self, page: int) -> bytearray:
        content = bytearray(os.pread(self._base, PAGE, page * PAGE) if self._base is not None else b"")
        content.extend(bytes(PAGE - len(content)))
        return content
