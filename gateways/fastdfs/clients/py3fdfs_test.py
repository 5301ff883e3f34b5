"""What the PyPI package `py3Fdfs` can do, checked against a tracker on this machine.

The argument is the tracker's port; local files are made in the working directory.
"""

import sys
from pathlib import Path

from checks import content, refused, run, same
from fdfs_client.client import Fdfs_client
from fdfs_client.exceptions import DataError, ResponseError

client = Fdfs_client(
    {"host_tuple": ("127.0.0.1",), "port": int(sys.argv[1]), "timeout": 60, "name": "tracker"}
)


def whole(file_id):
    return client.download_to_buffer(file_id)["Content"]


def appender(data):
    return client.upload_appender_by_buffer(data, "log")["Remote file_id"]


def upload_a_buffer():
    for length, extension in [(1, None), (4096, "jpg"), (70_000, "tar.gz"), (5 << 20, "iso")]:
        data = content(1, length)
        told = client.upload_by_buffer(data, extension)
        file_id = told["Remote file_id"]
        assert told["Group name"] == b"group1", told
        assert told["Storage IP"] == b"127.0.0.1", told
        assert file_id.startswith(b"group1/M"), file_id
        assert file_id.endswith(b"." + extension.encode() if extension else b""), file_id
        same(whole(file_id), data, file_id)


def upload_a_file():
    data = content(2, 123_456)
    Path("local.dat").write_bytes(data)
    told = client.upload_by_filename("local.dat")
    assert told["Uploaded size"] == "120.56KB", told
    assert told["Remote file_id"].endswith(b".dat"), told
    same(whole(told["Remote file_id"]), data, "content")


def download_to_a_file():
    data = content(3, 300_000)
    file_id = client.upload_by_buffer(data)["Remote file_id"]
    told = client.download_to_file("back.dat", file_id)
    assert told["Download size"] == "292.97KB", told
    same(Path("back.dat").read_bytes(), data, "content")


def append():
    pieces = [content(4, 1_000), content(5, 200_000), content(6, 5 << 20)]
    Path("grows.log").write_bytes(pieces[0])
    file_id = client.upload_appender_by_filename("grows.log")["Remote file_id"]
    client.append_by_buffer(pieces[1], file_id)
    Path("append.dat").write_bytes(pieces[2])
    client.append_by_filename("append.dat", file_id)
    same(whole(file_id), b"".join(pieces), "content")


def modify():
    """It sends no offset but 0."""
    data = content(7, 10_000)
    file_id = appender(data)
    client.modify_by_buffer(b"begin", file_id)
    same(whole(file_id), b"begin" + data[5:], "a buffer")
    longer = content(8, 12_000)
    Path("modify.dat").write_bytes(longer)
    client.modify_by_filename("modify.dat", file_id)
    same(whole(file_id), longer, "a file")


def truncate():
    data = content(9, 10_000)
    file_id = appender(data)
    for size in [5_000, 5_000, 7_000]:
        client.truncate_file(size, file_id)
        data = data[:size].ljust(size, b"\0")
        same(whole(file_id), data, size)


def delete():
    file_id = client.upload_by_buffer(b"x")["Remote file_id"]
    for file_id in [file_id, appender(b"x")]:
        assert client.delete_file(file_id)[1] == file_id
        refused(2, DataError, "download", client.download_to_buffer, file_id)
        refused(2, DataError, "delete", client.delete_file, file_id)
    refused(2, DataError, "append", client.append_by_buffer, b"x", file_id)
    refused(2, DataError, "modify", client.modify_by_buffer, b"x", file_id)
    refused(2, DataError, "truncate", client.truncate_file, 0, file_id)


def wrong_requests():
    file_id = client.upload_by_buffer(b"12345")["Remote file_id"]
    refused(22, DataError, "append to a normal file", client.append_by_buffer, b"x", file_id)
    refused(22, DataError, "truncate a normal file", client.truncate_file, 0, file_id)


def lists():
    """It knows records as they were before FastDFS 6.13, and only says that ours differ."""
    try:
        client.list_all_groups()
    except ResponseError as told:
        assert ": 113" in str(told), told
    else:
        raise AssertionError("a list")


run({
    "upload a buffer, download": upload_a_buffer,
    "upload a file": upload_a_file,
    "download to a file": download_to_a_file,
    "append": append,
    "modify": modify,
    "truncate": truncate,
    "delete": delete,
    "wrong requests": wrong_requests,
    "lists are of FastDFS 6.15": lists,
})
