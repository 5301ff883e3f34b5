// What the npm packages `fdfs` and `fastdfs-client` can do, checked against a tracker on this
// machine; their calls are the same. Arguments: the package, and the tracker's port. Local files
// are made in the working directory.
'use strict';

const assert = require('assert');
const fs = require('fs');
const zlib = require('zlib');

const [name, port] = process.argv.slice(2);
const Client = require(name);
const quiet = Object.fromEntries(
    ['log', 'trace', 'debug', 'info', 'warn', 'error', 'fatal'].map((level) => [level, () => {}]));
const client = new Client({
    trackers: [{ host: '127.0.0.1', port: Number(port) }],
    timeout: 60000,
    logger: quiet,
});

function content(seed, length) {
    const bytes = Buffer.alloc(length);
    for (let at = 0, state = seed; at < length; at++) {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        bytes[at] = state >>> 24;
    }
    return bytes;
}

function same(found, expected, what) {
    assert(found.equals(expected), `${what}: ${found.length} bytes, ${expected.length} expected`);
}

async function whole(id, options) {
    const target = 'download.dat';
    await client.download(id, { target, ...options });
    return fs.readFileSync(target);
}

async function refused(errno, promise, what) {
    const error = await promise.then(() => null, (error) => error);
    assert(error, `${what} is not refused`);
    assert.strictEqual(error.errno, errno, `${what}: ${error}`);
}

// The checksum zlib computes, in a signed number as the storage tells it.
function crc32(bytes) {
    const gzip = zlib.gzipSync(bytes);
    return gzip.readInt32LE(gzip.length - 8);
}

const checks = {
    async 'upload a buffer, download'() {
        for (const [length, ext] of [[1, ''], [4096, 'jpg'], [70000, 'tar.gz'], [5 << 20, 'iso']]) {
            const bytes = content(1, length);
            const id = await client.upload(bytes, { ext });
            assert.match(id, /^group1\/M..\/..\/..\//);
            assert(ext ? id.endsWith(`.${ext}`) : !id.includes('.'), id);
            same(await whole(id), bytes, id);
        }
    },
    async 'upload a file'() {
        const bytes = content(2, 123456);
        fs.writeFileSync('local.dat', bytes);
        const id = await client.upload('local.dat');
        assert.match(id, /\.dat$/);
        same(await whole(id), bytes, id);
    },
    async 'upload a stream'() {
        const bytes = content(3, 300000);
        fs.writeFileSync('stream.dat', bytes);
        const options = { size: bytes.length, ext: 'bin' };
        const id = await client.upload(fs.createReadStream('stream.dat'), options);
        same(await whole(id), bytes, id);
    },
    async 'upload to a group'() {
        const id = await client.upload(Buffer.from('x'), { group: 'group1', ext: 'txt' });
        same(await whole(id), Buffer.from('x'), id);
        await refused(2, client.upload(Buffer.from('x'), { group: 'group2' }), 'group2');
    },
    async 'download to a name, a stream, a part'() {
        const bytes = content(4, 10000);
        const id = await client.upload(bytes, { ext: 'bin' });
        await client.download(id, 'name.dat');
        same(fs.readFileSync('name.dat'), bytes, 'name');
        await client.download(id, fs.createWriteStream('other.dat'));
        same(fs.readFileSync('other.dat'), bytes, 'stream');
        for (const [offset, count] of [[9, 900], [9999, 0], [9000, 5000]]) {
            const end = count ? offset + count : bytes.length;
            const part = await whole(id, { offset, bytes: count });
            same(part, bytes.subarray(offset, end), `${count} at ${offset}`);
        }
    },
    async 'info'() {
        const now = Date.now() / 1000;
        for (const [length, method] of [[5000], [5 << 20], [5000, 'uploadAppender']]) {
            const bytes = content(5, length);
            const info = await client.getFileInfo(await client.upload(bytes, { method }));
            assert.strictEqual(info.size, length);
            assert.strictEqual(info.crc32, crc32(bytes));
            assert.strictEqual(info.addr, '127.0.0.1');
            assert(Math.abs(info.timestamp - now) < 60, `made at ${info.timestamp}`);
        }
    },
    async 'metadata'() {
        const id = await client.upload(Buffer.from('x'), { ext: 'jpg' });
        await refused(2, client.getMetaData(id), 'none yet');
        await client.setMetaData(id, { width: '1024', title: 'ein Bär' });
        assert.deepStrictEqual(await client.getMetaData(id), { width: '1024', title: 'ein Bär' });
        await client.setMetaData(id, { width: '10', colour: 'red' }, 'M');
        assert.deepStrictEqual(await client.getMetaData(id),
            { width: '10', title: 'ein Bär', colour: 'red' });
        await client.setMetaData(id, { a: 'b' }, 'O');
        assert.deepStrictEqual(await client.getMetaData(id), { a: 'b' });
        await client.setMetaData(id, {}, 'O');
        await refused(2, client.getMetaData(id), 'removed');
    },
    async 'append'() {
        const pieces = [content(6, 1000), content(7, 200000), content(8, 5 << 20)];
        const fileId = await client.upload(pieces[0], { method: 'uploadAppender', ext: 'log' });
        await client.upload(pieces[1], { method: 'append', fileId });
        fs.writeFileSync('append.dat', pieces[2]);
        await client.upload('append.dat', { method: 'append', fileId });
        same(await whole(fileId), Buffer.concat(pieces), fileId);
    },
    async 'modify'() {
        const bytes = content(9, 10000);
        const fileId = await client.upload(bytes, { method: 'uploadAppender', ext: 'log' });
        const piece = content(10, 5000);
        await client.upload(piece.subarray(0, 100), { method: 'modify', fileId, offset: 0 });
        await client.upload(piece, { method: 'modify', fileId, offset: 9000 });
        const expected = [piece.subarray(0, 100), bytes.subarray(100, 9000), piece];
        same(await whole(fileId), Buffer.concat(expected), fileId);
        const behind = client.upload(piece, { method: 'modify', fileId, offset: 14001 });
        await refused(22, behind, 'modify behind the end');
    },
    async 'delete'() {
        for (const [length, method] of [[10], [5 << 20], [10, 'uploadAppender']]) {
            const fileId = await client.upload(content(11, length), { method });
            await (length === 10 ? client.del(fileId) : client.remove(fileId));
            await refused(2, client.download(fileId, 'gone.dat'), 'download');
            await refused(2, client.del(fileId), 'delete');
            await refused(2, client.getFileInfo(fileId), 'info');
            await refused(2, client.setMetaData(fileId, { a: 'b' }), 'metadata');
        }
    },
    async 'many at once'() {
        const one = async (n) => {
            const bytes = content(n, 1000 * n);
            const target = `many-${n}.dat`;
            await client.download(await client.upload(bytes), target);
            same(fs.readFileSync(target), bytes, target);
        };
        await Promise.all(Array.from({ length: 50 }, (_, n) => one(n + 1)));
    },
    // It knows records as they were before FastDFS 6.13, so all it can say is how long ours are.
    async 'lists are of FastDFS 6.15'() {
        const told = (promise) => promise.then(() => 'a list', String);
        assert.match(await told(client.listGroups()), /\b113\b.*invalid/);
        assert.match(await told(client.listStorages('group1')), /\b974\b.*invalid/);
    },
};

(async () => {
    for (const [what, check] of Object.entries(checks)) {
        try {
            await check();
            console.log(`${what} ok`);
        } catch (error) {
            process.exitCode = 1;
            console.log(`${what} FAILED: ${String(error).replace(/\s+/g, ' ')}`);
        }
    }
})();
