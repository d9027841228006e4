"""Stream the files of a raw folder as the portals deliver them, without unpacking: folders, zip, zip in zip, tar, .zip.partN."""

from medllm.data.archives.member import MAX_ITEM_BYTES, Member
from medllm.data.archives.walk import read_members

__all__ = ["MAX_ITEM_BYTES", "Member", "read_members"]
