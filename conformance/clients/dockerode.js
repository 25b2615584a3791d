// What a program does with dockerode, and what it sees. Two runs at equal engines print the same.
'use strict';

const Docker = require('dockerode');
const { PassThrough } = require('stream');

const docker = new Docker();
const say = (what, ...values) => console.log(what, ...values.map((value) => JSON.stringify(value)));

const collect = (stream) => new Promise((resolve, reject) => {
  const parts = [];
  stream.on('data', (part) => parts.push(part));
  stream.on('end', () => resolve(Buffer.concat(parts)));
  stream.on('error', reject);
});

const failure = async (what, call) => {
  try {
    await call();
    say(what, 'worked');
  } catch (error) {
    say(what, error.statusCode, error.reason);
  }
};

// Both streams of a container without a terminal.
const both = async (stream) => {
  const [out, err] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, out, err);
  stream.on('end', () => { out.end(); err.end(); });
  const texts = await Promise.all([collect(out), collect(err)]);
  return texts.map((text) => text.toString());
};

const follow = (stream) => new Promise((resolve, reject) => {
  docker.modem.followProgress(stream, (error, lines) => (error ? reject(error) : resolve(lines)));
});

async function main() {
  say('ping', (await docker.ping()).toString());
  say('version', (await docker.version()).ApiVersion);
  say('info', (await docker.info()).Driver);

  const box = await docker.createContainer({
    name: 'ode1', Image: 'busybox', Cmd: ['sh', '-c', 'for i in 1 2 3; do echo line $i; sleep 0.2; done; echo err >&2; exit 3'],
  });
  const attached = await box.attach({ stream: true, stdout: true, stderr: true });
  const shown = both(attached);
  await box.start();
  say('attach', await shown);
  say('wait', await box.wait());
  const logs = await box.logs({ follow: true, stdout: true, stderr: true });
  say('logs', await both(logs));
  await box.remove();

  const cat = await docker.createContainer({
    name: 'ode2', Image: 'busybox', Cmd: ['cat'], OpenStdin: true, StdinOnce: true, AttachStdin: true,
  });
  const typed = await cat.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const echoed = both(typed);
  await cat.start();
  typed.end('typed\n'.repeat(10000));
  const [text] = await echoed;
  say('hijack', text.length, (await cat.wait()).StatusCode);
  await cat.remove();

  const out = new PassThrough();
  const seen = collect(out);
  const [status, ran] = await docker.run('busybox', ['sh', '-c', 'echo ran; exit 2'], out, { name: 'ode3', Tty: true });
  // `run` waits for the container, not for its output, which comes on a connection of its own.
  await Promise.race([seen, new Promise((resolve) => setTimeout(resolve, 2000))]);
  out.end();
  say('run', status, (await seen).toString());
  await ran.remove();

  const web = await docker.createContainer({ name: 'ode4', Image: 'busybox', Cmd: ['sleep', '1000'] });
  await web.start();
  const exec = await web.exec({ Cmd: ['sh', '-c', 'cat; echo end >&2; exit 6'], AttachStdin: true, AttachStdout: true, AttachStderr: true });
  const stream = await exec.start({ hijack: true, stdin: true });
  const answer = both(stream);
  stream.end('x'.repeat(200000));
  const [echo, end] = await answer;
  say('exec', echo.length, end, (await exec.inspect()).ExitCode);
  const plain = await web.exec({ Cmd: ['seq', '1', '5000'], AttachStdout: true });
  say('exec plain', (await both(await plain.start({})))[0].split('\n').length);
  const tty = await web.exec({ Cmd: ['sh', '-c', 'sleep 0.5; stty size'], AttachStdout: true, Tty: true });
  const screen = await tty.start({ hijack: true, Tty: true });
  const text2 = collect(screen);
  await tty.resize({ h: 33, w: 77 });
  say('resize', (await text2).toString());

  const tar = await collect(await web.getArchive({ path: '/bin/busybox' }));
  say('get', tar.length > 1000000);
  await web.putArchive(tar, { path: '/tmp' });
  say('stat', (await collect(await web.getArchive({ path: '/tmp/busybox' }))).length === tar.length);
  await failure('put nowhere', () => web.putArchive(Buffer.alloc(1024), { path: '/no/such' }));

  const events = await docker.getEvents({ filters: { container: ['ode5'] } });
  const actions = new Promise((resolve) => {
    const all = [];
    events.on('data', (data) => {
      for (const line of data.toString().split('\n').filter(Boolean)) {
        all.push(JSON.parse(line).Action);
      }
      if (all.includes('destroy')) resolve(all);
    });
  });
  await docker.run('busybox', ['true'], new PassThrough(), { name: 'ode5', HostConfig: { AutoRemove: true } });
  // The engine may say 'detach' too: whether a stream's end or its client's was first.
  say('events', (await actions).filter((action) => action !== 'detach').sort());
  events.destroy();

  const samples = await web.stats({ stream: true });
  await new Promise((resolve) => samples.once('data', resolve));
  samples.destroy();
  say('stats', (await web.stats({ stream: false })).name);
  say('list', (await docker.listContainers({ all: true, filters: { name: ['ode4'] } })).map((one) => one.Names));
  await web.stop({ t: 0 });
  await failure('stop', () => web.stop());
  await failure('start', () => docker.getContainer('nosuch').start());
  await failure('pull', () => docker.pull('127.0.0.1:9/x:y'));
  await failure('create', () => docker.createContainer({ Image: 'nosuch' }));

  const context = await collect(await web.getArchive({ path: '/etc/hostname' }));
  await failure('build', async () => follow(await docker.buildImage(context, { t: 'ode:1' })));
  const committed = await web.commit({ repo: 'ode', tag: '2' });
  say('commit', committed.Id.length);
  const saved = await collect(await docker.getImage('ode:2').get());
  await docker.getImage('ode:2').remove();
  const loaded = await follow(await docker.loadImage(saved));
  say('load', loaded.map((line) => line.stream).filter((line) => /ode:2/.test(line || '')));
  await docker.getImage('ode:2').remove();
  await web.remove({ force: true });
  say('left', (await docker.listContainers({ all: true })).length);
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
