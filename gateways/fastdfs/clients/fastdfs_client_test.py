"""What the PyPI package `fastdfs-client` can do, checked against a tracker on this machine.

The argument is the tracker's port; local files are made in the working directory.
"""

import asyncio
import sys
from pathlib import Path

from checks import content, refused, run, same
from fastdfs_client import AsyncDfsClient, FastdfsClient
from fastdfs_client.exceptions import DataError

port = int(sys.argv[1])
trackers = {"host_tuple": ("127.0.0.1",), "port": port, "timeout": 60, "name": "tracker"}
client = FastdfsClient(trackers)


def whole(file_id, *part):
    return client.download_to_buffer(file_id, *part)["Content"]


def upload_a_buffer():
    for length, extension in [(1, None), (4096, "jpg"), (70_000, "tar.gz"), (5 << 20, "iso")]:
        data = content(1, length)
        told = client.upload_by_buffer(data, extension)
        file_id = told["Remote file_id"]
        assert told["Group name"] == "group1", told
        assert told["Storage IP"] == "127.0.0.1", told
        assert file_id.startswith("group1/M"), file_id
        assert file_id.endswith("." + extension if extension else ""), file_id
        same(whole(file_id), data, file_id)


def upload_a_file():
    data = content(2, 123_456)
    Path("local.dat").write_bytes(data)
    told = client.upload_by_filename("local.dat")
    assert told["Uploaded size"] == "120.56KB", told
    assert told["Remote file_id"].endswith(".dat"), told
    same(whole(told["Remote file_id"]), data, "content")


def upload_as_url():
    url = client.upload_as_url(b"content", ".txt")
    assert url.startswith("http://127.0.0.1/group1/M"), url
    same(whole(url), b"content", url)


def upload_an_appender():
    data = content(3, 10_000)
    Path("grows.log").write_bytes(data)
    for told in [
        client.upload_appender_by_buffer(data, file_ext_name="log"),
        client.upload_appender_by_filename("grows.log"),
    ]:
        assert told["Remote file_id"].endswith(".log"), told
        same(whole(told["Remote file_id"]), data, told)


def download_to_a_file():
    data = content(4, 300_000)
    file_id = client.upload_by_buffer(data)["Remote file_id"]
    told = client.download_to_file("back.dat", file_id)
    assert told["Download size"] == "292.97KB", told
    same(Path("back.dat").read_bytes(), data, "content")
    client.download_to_file("part.dat", file_id, 1_000, 5_000)
    same(Path("part.dat").read_bytes(), data[1_000:6_000], "a part")


def download_a_part():
    data = content(5, 10_000)
    file_id = client.upload_by_buffer(data)["Remote file_id"]
    same(whole(file_id, 9, 900), data[9:909], "within")
    same(whole(file_id, 9_999), data[9_999:], "to the end")
    same(whole(file_id, 9_000, 5_000), data[9_000:], "cut at the end")
    refused(22, DataError, "behind the end", whole, file_id, 10_000)


def delete():
    file_id = client.upload_by_buffer(content(6, 100))["Remote file_id"]
    large_id = client.upload_by_buffer(content(7, 5 << 20))["Remote file_id"]
    grows_id = client.upload_appender_by_buffer(b"x")["Remote file_id"]
    for file_id in [file_id, large_id, grows_id]:
        assert client.delete_file(file_id)[1] == file_id.encode()
        refused(2, DataError, "download", client.download_to_buffer, file_id)
        refused(2, DataError, "delete", client.delete_file, file_id)


def asynchronous():
    async def through(own):
        url = await own.upload(b"content", ".txt")
        same(whole(url), b"content", url)
        await own.delete(url)
        refused(2, DataError, "download", whole, url)
        try:
            await own.delete(url)
        except DataError as told:
            assert "Error: 2," in str(told), told
        else:
            raise AssertionError("it is deleted twice")

    asyncio.run(through(client))
    asyncio.run(through(AsyncDfsClient(trackers)))


run({
    "upload a buffer, download": upload_a_buffer,
    "upload a file": upload_a_file,
    "upload as URL": upload_as_url,
    "upload an appender": upload_an_appender,
    "download to a file": download_to_a_file,
    "download a part": download_a_part,
    "delete": delete,
    "asynchronous upload, delete": asynchronous,
})
