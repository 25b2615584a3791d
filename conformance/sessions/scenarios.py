"""What the clients do in the shipped sessions. Each scenario makes what it needs; the images busybox and tiny are there."""

# For each docker command line. A payload is made by a rule, so that its recording is short.
CLI = {
    # Looking around.
    "version": "docker version",
    "info": "docker info",
    "ps-empty": "docker ps -a",
    "ps-forms": "docker create --name a1 --label x=y busybox true; docker ps; docker ps -a; docker ps -aq --no-trunc; "
                "docker ps -as; docker ps -a --filter label=x=y --format '{{.Names}}'; docker ps -n 1",
    "ps-bad-filter": "docker ps --filter zz=1",
    "images-forms": "docker images; docker images -a; docker images -q --no-trunc; docker images --filter dangling=true; docker images nosuch",
    "system-df": "docker volume create v1; docker create -v v1:/v busybox; docker system df; docker system df -v",
    "events": "docker events --since 0 --until 1; docker create --name e1 busybox true; timeout 1 docker events --filter container=e1 & "
              "sleep 0.4; docker start e1; wait",
    # The life of a1 container, and every error on it.
    "life": "docker create --name c1 busybox sleep 100; docker start c1; docker pause c1; docker unpause c1; docker restart -t 0 c1; "
            "docker stop -t 0 c1; docker rm c1",
    "create-no-image": "docker create --pull never nosuch/image",
    "create-bad-name": "docker create --name '!' busybox",
    "create-conflict": "docker create --name c1 busybox; docker create --name c1 busybox",
    "create-bad-mount": "docker create -v relative/path:/x:zz busybox",
    "start-absent": "docker start nosuch",
    "start-twice": "docker run -d --name c1 busybox sleep 100; docker start c1; docker rm -f c1",
    "start-no-command": "docker create --name c1 busybox /no/such/command; docker start c1",
    "stop-stopped": "docker create --name c1 busybox true; docker stop c1; docker stop nosuch",
    "kill": "docker run -d --name c1 busybox sleep 100; docker kill -s USR1 c1; docker kill -s NOSUCH c1; docker kill c1; docker kill c1; docker kill nosuch",
    "pause-errors": "docker create --name c1 busybox true; docker pause c1; docker unpause c1; docker pause nosuch",
    "restart-absent": "docker restart nosuch",
    "rm-errors": "docker rm nosuch; docker run -d --name c1 busybox sleep 100; docker rm c1; docker rm -f c1; docker rm -f c1",
    "rename": "docker create --name a1 busybox; docker create --name b1 busybox; docker rename a1 c1; docker rename c1 b1; docker rename nosuch d1",
    "update": "docker create --name c1 busybox; docker update --restart always c1; docker update --memory 10m --memory-swap 20m c1; docker update --restart no nosuch",
    "inspect": "docker create --name c1 busybox true; docker inspect c1; docker inspect busybox; docker inspect -s --type container c1; docker inspect nosuch",
    "port": "docker create --name c1 -p 8080:80 busybox; docker port c1; docker port nosuch",
    # run in its forms.
    "run": "docker run busybox echo hi",
    "run-rm": "docker run --rm busybox echo hi",
    "run-exit-code": "docker run --rm busybox sh -c 'exit 7'",
    "run-stderr": "docker run --rm busybox sh -c 'echo out; sleep 0.1; echo err >&2; sleep 0.1; echo again'",
    "run-stdin": "printf 'one\\ntwo\\n' | docker run --rm -i busybox cat",
    "run-stdin-slow": "(echo one; sleep 0.2; echo two) | docker run --rm -i busybox cat",
    "run-stdin-large": "yes 0123456789 | head -c 300000 | docker run --rm -i busybox wc -c",
    "run-both-large": "yes 0123456789 | head -c 200000 | docker run --rm -i busybox cat | wc -c",
    "run-noise": "head -c 200000 /dev/urandom > f; docker run --rm -i busybox cat < f | cmp - f",
    "run-stdin-after-end": "(sleep 0.6; echo late) | docker run --rm -i busybox echo early",
    "run-tty": "docker run --rm -t busybox sh -c 'tty; echo hi; echo err >&2'",
    "run-detached": "docker run -d --name c1 busybox echo hi; docker wait c1; docker logs c1",
    "run-large-output": "docker run --rm busybox sh -c 'yes 0123456789 | head -c 300000' | wc -c",
    "run-no-command": "docker run --rm busybox /no/such/command",
    "run-no-image": "docker run --pull never nosuch/image",
    "run-options": "docker run --rm --name c1 --hostname h -e A=b -w /tmp -u 1:1 --label l=1 --tmpfs /t --read-only --memory 50m busybox sh -c 'hostname; pwd; id; echo $A'",
    "run-volume": "docker run --rm -v data:/v busybox sh -c 'echo kept > /v/f'; docker run --rm -v data:/v:ro busybox cat /v/f",
    "run-killed": "docker run --rm --name c1 busybox sleep 100 & sleep 1; docker kill c1; wait",
    "run-interrupted": "timeout -s INT 1 docker run --rm busybox sh -c 'trap \"echo bye; exit 3\" INT; echo hi; while true; do sleep 0.1; done'",
    "run-client-killed": "timeout -s KILL 1 docker run --name c1 busybox sh -c 'echo hi; sleep 100'; docker rm -f c1",
    # Streams.
    "attach": "docker run -d --name c1 busybox sh -c 'sleep 0.8; echo hi; exit 4'; docker attach c1",
    "attach-stdin": "docker run -di --name c1 busybox head -n 1; (echo through; sleep 0.5) | docker attach c1",
    "attach-errors": "docker attach nosuch; docker create --name c1 busybox; docker attach c1",
    "start-attached": "docker create --name c1 busybox sh -c 'echo hi; exit 3'; docker start -a c1",
    "start-attached-stdin": "docker create -i --name c1 busybox cat; echo in | docker start -ai c1",
    "exec": "docker run -d --name c1 busybox sleep 100; docker exec c1 sh -c 'echo out; echo err >&2; exit 5'",
    "exec-stdin": "docker run -d --name c1 busybox sleep 100; printf 'a\\nb\\n' | docker exec -i c1 cat",
    "exec-tty": "docker run -d --name c1 busybox sleep 100; docker exec -t c1 echo hi",
    "exec-detached": "docker run -d --name c1 busybox sleep 100; docker exec -d c1 touch /x",
    "exec-options": "docker run -d --name c1 busybox sleep 100; docker exec -e A=b -w /tmp -u 2 c1 sh -c 'echo $A; pwd; id -u'",
    "exec-no-command": "docker run -d --name c1 busybox sleep 100; docker exec c1 /no/such/command",
    "exec-errors": "docker exec nosuch true; docker create --name c1 busybox; docker exec c1 true; docker run -d --name p1 busybox sleep 100; "
                   "docker pause p1; docker exec p1 true; docker unpause p1",
    "exec-client-killed": "docker run -d --name c1 busybox sleep 100; timeout -s KILL 0.7 docker exec c1 sh -c 'echo hi; sleep 5'",
    "logs": "docker run --name c1 busybox sh -c 'echo out; sleep 0.2; echo err >&2'; docker logs c1; docker logs --tail 1 c1; docker logs --since 1h -t c1 >/dev/null",
    "logs-follow": "docker run -d --name c1 busybox sh -c 'for i in 1 2 3; do echo $i; sleep 0.3; done'; docker logs -f c1",
    "logs-follow-killed": "docker run -d --name c1 busybox sh -c 'echo hi; sleep 100'; timeout 1 docker logs -f c1",
    "logs-errors": "docker logs nosuch; docker create --name c1 busybox; docker logs c1; docker logs --tail x c1",
    "wait": "docker run -d --name c1 busybox sh -c 'sleep 0.5; exit 6'; docker wait c1; docker wait c1; docker wait nosuch",
    "wait-killed": "docker run -d --name c1 busybox sleep 100; timeout 0.7 docker wait c1; docker rm -f c1",
    "top": "docker run -d --name c1 busybox sleep 100; docker top c1; docker top c1 -o pid,comm; docker top nosuch; docker create --name d1 busybox; docker top d1",
    "stats": "docker run -d --name c1 busybox sleep 100; docker stats --no-stream c1; docker stats --no-stream nosuch",
    "stats-stream": "docker run -d --name c1 busybox sleep 100; timeout -s KILL 2.5 docker stats c1",
    # Files.
    "diff": "docker run --name c1 busybox sh -c 'echo x > /new; rm /etc/none 2>/dev/null; mkdir /d'; docker diff c1; docker create --name d1 busybox; docker diff d1; docker diff nosuch",
    "cp-in": "echo content > f; docker create --name c1 busybox; docker cp f c1:/tmp/f; docker cp f c1:/no/such/f; docker cp f nosuch:/f",
    "cp-in-large": "yes 0123456789 | head -c 200000 > f; docker create --name c1 tiny; docker cp f c1:/data/f",
    "cp-noise": "head -c 300000 /dev/urandom > f; docker create --name c1 tiny; docker cp f c1:/data/f; docker cp c1:/data/f g; cmp f g",
    "cp-out": "docker create --name c1 tiny; docker cp c1:/hello out; cat out; docker cp c1:/nosuch out; docker cp nosuch:/x out",
    "cp-stream": "docker create --name c1 tiny; docker cp c1:/hello - | tar t; mkdir d1; echo x > d1/x; tar -cf - d1 | docker cp - c1:/data",
    "export": "docker create --name c1 tiny; docker export c1 | tar t; docker export -o f nosuch",
    # Images.
    "commit": "docker create --name c1 tiny; docker commit -m message -a author -c 'ENV A=b' c1 made:1; docker history made:1; docker commit nosuch x; docker rmi made:1",
    "tag": "docker tag tiny other:1; docker tag tiny localhost:5000/a/b:2; docker tag nosuch x; docker tag tiny 'BAD NAME'; docker rmi other:1 localhost:5000/a/b:2",
    "rmi": "docker tag tiny a1:1; docker rmi a1:1; docker rmi nosuch; docker create --name c1 busybox; docker rmi busybox",
    "history": "docker history tiny; docker history --no-trunc -q tiny; docker history nosuch",
    "save": "docker save tiny | tar t | wc -l; docker save -o f nosuch",
    "load": "docker tag tiny again:1; docker save again:1 -o t; docker rmi again:1; docker load -i t; docker load -q < t; echo junk > j; docker load -i j",
    "import": "mkdir r; echo x > r/x; tar -cf r.tar -C r .; docker import -m why r.tar imported:1; docker import - < r.tar; docker rmi imported:1",
    "pull-fails": "docker pull 127.0.0.1:9/nosuch; docker pull 'BAD'",
    "push-fails": "docker tag tiny 127.0.0.1:9/x; docker push 127.0.0.1:9/x; docker push nosuch/x",
    "login-fails": "echo secret | docker login -u me --password-stdin 127.0.0.1:9",
    "image-inspect": "docker image inspect tiny; docker image inspect nosuch",
    "build": "printf 'FROM tiny\\nLABEL a=b\\nENV X=y\\nCOPY f /f\\n' > Dockerfile; echo data > f; docker build -t built:1 .; docker build -q .",
    "build-run": "printf 'FROM busybox\\nARG V=1\\nRUN echo $V > /v && cat /v\\n' > Dockerfile; docker build --no-cache --build-arg V=2 -t built:2 .",
    "build-fails": "printf 'FROM busybox\\nRUN false\\n' > Dockerfile; docker build .; printf 'FROM nosuch:9\\n' > Dockerfile; docker build --pull=false .; "
                   "printf 'JUNK\\n' > Dockerfile; docker build .",
    "build-stdin": "printf 'FROM tiny\\nLABEL from=stdin\\n' | docker build -t built:3 -",
    # Networks, volumes, prunes.
    "networks": "docker network ls; docker network create --label a=b n1; docker network ls --filter label=a; docker network inspect n1; docker network rm n1",
    "network-connect": "docker network create n1; docker create --name c1 --network none busybox; docker network connect n1 c1; docker network disconnect n1 c1; docker network rm n1",
    "network-errors": "docker network inspect nosuch; docker network rm nosuch; docker network rm host; docker network create n1; docker network create n1; docker network connect n1 nosuch; "
                      "docker network create -d nosuch m1",
    "volumes": "docker volume create --label a=b v1; docker volume ls; docker volume ls -q --filter label=a=b; docker volume inspect v1; docker volume rm v1",
    "volume-errors": "docker volume inspect nosuch; docker volume rm nosuch; docker volume create 'b/d'; docker volume create -d nosuch v1; "
                     "docker create -v used:/v busybox; docker volume rm used",
    "prune-nothing": "docker container prune -f; docker image prune -f; docker volume prune -f; docker network prune -f",
    "prune": "docker create busybox; docker volume create v1; docker network create n1; docker container prune -f; docker volume prune -f; docker network prune -f",
    "system-prune": "docker create busybox; docker system prune -f",
    "swarm-off": "docker node ls; docker service ls; docker swarm leave",
    "plugins": "docker plugin ls; docker plugin inspect nosuch",
}

Q = "curl -s --unix-socket $SOCKET"
J = "-H 'Content-Type: application/json'"
MAKE = f"{Q} {J} -d '{{\"Image\":\"busybox\",\"Cmd\":[\"sleep\",\"100\"]}}' 'http://docker/v1.41/containers/create?name=c1'"

COMPOSE_FILE = """
version: '2.4'
services:
  web: {image: busybox, command: ["sh", "-c", "echo up; sleep 100"], network_mode: none, stop_grace_period: 0s}
  job: {image: busybox, command: ["sh", "-c", "echo done; exit 3"], network_mode: none, depends_on: [web]}
"""

# For docker-compose, in a folder with that file. Its project is named so that the folder does not show.
COMPOSE = {name: "cat > docker-compose.yml <<'E'" + COMPOSE_FILE + "E\n" + script for name, script in {
    "up": "docker-compose up -d; docker-compose ps; docker-compose down -t 0",
    "up-attached": "sed -i 's|echo done;|sleep 2; echo done;|' docker-compose.yml; docker-compose up --no-color job; docker-compose down -t 0",
    "up-again": "docker-compose up -d web; docker-compose up -d web; docker-compose up -d --force-recreate -t 0 web; docker-compose down -t 0",
    "create": "docker-compose up --no-start; docker-compose ps -a; docker-compose rm -f",
    "start-stop": "docker-compose up --no-start web; docker-compose start web; docker-compose stop -t 0 web; docker-compose down",
    "restart": "docker-compose up -d web; docker-compose restart -t 0 web; docker-compose down -t 0",
    "pause": "docker-compose up -d web; docker-compose pause; docker-compose unpause; docker-compose down -t 0",
    "kill": "docker-compose up -d web; docker-compose kill; docker-compose rm -f",
    "logs": "docker-compose up -d web; sleep 0.5; docker-compose logs --no-color; docker-compose down -t 0",
    "exec": "docker-compose up -d web; docker-compose exec -T web sh -c 'echo in; exit 4'; docker-compose down -t 0",
    "run": "docker-compose run --rm -T --no-deps job; docker-compose down -t 0",
    "run-command": "docker-compose run --rm -T --no-deps -e A=b job sh -c 'echo $A'; docker-compose down -t 0",
    "top": "docker-compose up -d web; docker-compose top; docker-compose down -t 0",
    "scale": "docker-compose up -d --scale web=2 web; docker-compose ps -q; docker-compose down -t 0",
    "volumes": "printf 'volumes: {data: {}}\n' >> docker-compose.yml; docker-compose up -d web; docker-compose down -t 0 -v",
    "networks": "sed -i 's/, network_mode: none//' docker-compose.yml; docker-compose up --no-start web; docker-compose down -t 0",
    "build": "printf 'FROM tiny\nLABEL a=b\n' > Dockerfile; printf \"version: '2.4'\\nservices: {made: {build: .}}\\n\" > docker-compose.yml; "
             "docker-compose build; docker-compose down --rmi local",
    "images": "docker-compose up --no-start web; docker-compose images; docker-compose down",
    "no-image": "sed -i 's/image: busybox/image: nosuch/' docker-compose.yml; docker-compose up --no-start web",
    "config": "docker-compose config; docker-compose ps",
    "orphans": "docker-compose up --no-start; sed -i '/job/d' docker-compose.yml; docker-compose up -d --remove-orphans; docker-compose down -t 0",
}.items()}

CURL = {
    "ping": f"{Q} http://docker/_ping; {Q} -I http://docker/_ping; {Q} http://docker/v1.24/_ping",
    "version": f"{Q} http://docker/version; {Q} http://docker/v1.30/version",
    "versions-refused": f"{Q} http://docker/v1.99/info; {Q} http://docker/v1.11/info; {Q} http://docker/v1/info",
    "unknown": f"{Q} http://docker/nosuch; {Q} http://docker/containers/json/; {Q} -X DELETE http://docker/info; {Q} -X OPTIONS http://docker/info",
    "redirect": f"{Q} --path-as-is http://docker//v1.41/info",
    "http-1.0": f"{Q} -0 http://docker/_ping",
    "keep-alive": f"{Q} http://docker/_ping http://docker/info http://docker/version http://docker/_ping",
    "close": f"{Q} -H 'Connection: close' http://docker/_ping",
    "events": f"{Q} --max-time 1 'http://docker/events?filters=%7B%22type%22%3A%5B%22volume%22%5D%7D' & sleep 0.3; {Q} {J} -d '{{\"Name\":\"v1\"}}' http://docker/volumes/create; wait",
    "events-until": f"{Q} 'http://docker/events?since=1&until=2'",
    "bad-filters": f"{Q} 'http://docker/containers/json?filters=junk'; {Q} 'http://docker/containers/json?filters=%7B%22zz%22%3A%5B%22a%22%5D%7D'; {Q} 'http://docker/images/json?filters=%5B%5D'",
    "bad-numbers": f"{Q} 'http://docker/containers/json?limit=many'; {Q} 'http://docker/containers/c1/logs?stdout=1&tail=x'",
    "create-bad-json": f"{Q} {J} -d '{{' http://docker/containers/create; {Q} {J} -d '' http://docker/containers/create; {Q} -d '{{}}' http://docker/containers/create",
    "create-bad-values": f"{Q} {J} -d '{{\"Image\":5}}' http://docker/containers/create; {Q} {J} -d '{{}}' http://docker/containers/create; "
                         f"{Q} {J} -d '{{\"Image\":\"busybox\",\"HostConfig\":{{\"Memory\":-5}}}}' http://docker/containers/create",
    "create-chunked": f"{Q} {J} -H 'Transfer-Encoding: chunked' -d '{{\"Image\":\"busybox\"}}' http://docker/containers/create",
    "expect-continue": f"head -c 2000 /dev/zero | tr '\\0' ' ' > b; echo '{{\"Image\":\"busybox\"}}' >> b; {Q} {J} -H 'Expect: 100-continue' --data-binary @b http://docker/containers/create",
    "expect-refused": f"{Q} -H 'Content-Type: text/plain' -H 'Expect: 100-continue' -d x http://docker/containers/create; "
                      f"{Q} -H 'Expect: 100-continue' -d x http://docker/nosuch",
    "life": f"{MAKE}; {Q} -X POST http://docker/containers/c1/start; {Q} -X POST http://docker/containers/c1/start; {Q} http://docker/containers/c1/json; "
            f"{Q} -X POST 'http://docker/containers/c1/stop?t=0'; {Q} -X POST 'http://docker/containers/c1/stop?t=0'; {Q} -X DELETE http://docker/containers/c1",
    "absent": " ".join(f"{Q} -X {method} http://docker/containers/nosuch{what};" for method, what in (
        ("GET", "/json"), ("POST", "/start"), ("POST", "/wait"), ("GET", "/logs?stdout=1"), ("GET", "/archive?path=/x"), ("POST", "/attach?stream=1"), ("DELETE", ""))),
    "head-archive": f"{MAKE}; {Q} -I 'http://docker/containers/c1/archive?path=/bin/busybox'; {Q} -I 'http://docker/containers/c1/archive?path=/nosuch'",
    "logs-no-stream": f"{MAKE}; {Q} http://docker/containers/c1/logs",
    "attach": f"{Q} {J} -d '{{\"Image\":\"busybox\",\"Cmd\":[\"echo\",\"hi\"]}}' 'http://docker/containers/create?name=c1'; "
              f"{Q} -X POST --max-time 5 'http://docker/containers/c1/attach?stream=1&stdout=1' --output out & sleep 0.4; {Q} -X POST http://docker/containers/c1/start; wait",
    "attach-no-stream": f"{MAKE}; {Q} -X POST http://docker/containers/c1/attach",
    "stats-once": f"{MAKE}; {Q} -X POST http://docker/containers/c1/start; {Q} 'http://docker/containers/c1/stats?stream=0&one-shot=1'; {Q} --max-time 1.5 http://docker/containers/c1/stats",
    "wait": f"{MAKE}; {Q} -X POST http://docker/containers/c1/start; {Q} -X POST --max-time 0.5 http://docker/containers/c1/wait; {Q} -X POST --max-time 0.5 'http://docker/containers/c1/wait?condition=bad'",
    "images": f"{Q} http://docker/images/json; {Q} http://docker/images/tiny/json; {Q} http://docker/images/tiny/history; {Q} http://docker/images/a/b/c:d/json",
    "image-get": f"{Q} http://docker/images/tiny/get | tar t | wc -l; {Q} 'http://docker/images/get?names=tiny' | wc -c",
    "exec-absent": f"{Q} {J} -d '{{}}' http://docker/exec/nosuch/start; {Q} http://docker/exec/nosuch/json",
    "resize": f"{MAKE}; {Q} -X POST 'http://docker/containers/c1/resize?h=10&w=20'; {Q} -X POST http://docker/containers/c1/start; {Q} -X POST 'http://docker/containers/c1/resize?h=10&w=20'; {Q} -X POST 'http://docker/containers/c1/resize?h=x'",
    "auth": f"{Q} {J} -d '{{\"username\":\"u\",\"password\":\"p\",\"serveraddress\":\"127.0.0.1:9\"}}' http://docker/auth; {Q} {J} -d junk http://docker/auth",
    "distribution": f"{Q} http://docker/distribution/127.0.0.1:9/x/json",
    "pipelined": "printf 'GET /_ping HTTP/1.1\\r\\nHost: a\\r\\n\\r\\nGET /version HTTP/1.1\\r\\nHost: a\\r\\n\\r\\nGET /_ping HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' "
                 "| curl -s -N --unix-socket $SOCKET --max-time 2 telnet://docker:80",
    "half-closed": "python3 -c \"import os,socket; s=socket.socket(socket.AF_UNIX); s.connect(os.environ['SOCKET']); "
                   "s.sendall(b'GET /events HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); import time; time.sleep(.3); s.shutdown(1); print(len(s.recv(9999)), s.recv(99))\"",
}

P = "import os, docker, io, tarfile\nc = docker.from_env()\nsleep = dict(command=['sleep', '100'], detach=True)\n"
E = "import docker, docker.errors\nc = docker.from_env()\ndef fails(f, *a, **k):\n    try: f(*a, **k)\n    except docker.errors.APIError as e: print(e)\n    else: raise SystemExit('no error')\n"

DOCKER_PY = {
    "version": P + "print(c.ping(), c.version()['ApiVersion'])",
    "negotiated": "import docker\nc = docker.DockerClient(base_url=docker.utils.utils.kwargs_from_env()['base_url'], version='auto')\nprint(c.ping())",
    "older": "import docker\nc = docker.DockerClient(base_url=docker.utils.utils.kwargs_from_env()['base_url'], version='1.30')\nprint(c.info()['Name'])",
    "info": P + "print(c.info()['Name'], len(c.df()))",
    "list": P + "c.containers.create('busybox', name='a1', labels={'x': 'y'})\nprint(c.containers.list(all=True), c.containers.list(all=True, filters={'label': 'x=y'}), c.containers.list())",
    "life": P + "x = c.containers.run('busybox', name='c1', **sleep)\nx.pause(); x.unpause(); x.restart(timeout=0); x.stop(timeout=0); x.reload(); x.remove()",
    "run": P + "print(c.containers.run('busybox', 'echo hi', remove=True))",
    "run-fails": P + "try: c.containers.run('busybox', ['sh', '-c', 'echo oops >&2; exit 3'], stderr=True)\nexcept docker.errors.ContainerError as e: print(e)",
    "logs": P + "x = c.containers.run('busybox', ['sh', '-c', 'echo out; sleep 0.2; echo err >&2'], detach=True)\nx.wait()\nprint(x.logs(), x.logs(stderr=False), x.logs(tail=1, timestamps=False))",
    "logs-follow": P + "x = c.containers.run('busybox', ['sh', '-c', 'for i in 1 2 3; do echo $i; sleep 0.2; done'], detach=True)\nfor line in x.logs(stream=True, follow=True): print(line)",
    "attach": P + "x = c.containers.create('busybox', ['sh', '-c', 'echo hi; echo err >&2'])\ns = x.attach(stream=True, logs=True)\nx.start()\nfor piece in s: print(piece)",
    "attach-socket": P + "x = c.containers.create('busybox', 'cat', stdin_open=True)\ns = x.attach_socket(params={'stdin': 1, 'stdout': 1, 'stream': 1})\nx.start()\ns._sock.sendall(b'hello\\n')\nimport time; time.sleep(.3)\nprint(s._sock.recv(99))\ns._sock.shutdown(1)\nx.wait()\ns.close()",
    "exec": P + "x = c.containers.run('busybox', **sleep)\nprint(x.exec_run(['sh', '-c', 'echo out; echo err >&2; exit 3']), x.exec_run('echo hi', demux=True), x.exec_run('id', user='1', environment={'A': 'b'}, workdir='/tmp'))",
    "exec-stream": P + "x = c.containers.run('busybox', **sleep)\nfor piece in x.exec_run(['sh', '-c', 'echo 1; sleep .2; echo 2'], stream=True).output: print(piece)",
    "exec-socket": P + "x = c.containers.run('busybox', **sleep)\ns = x.exec_run('cat', stdin=True, socket=True).output\ns._sock.sendall(b'hi\\n')\nimport time; time.sleep(.3)\nprint(s._sock.recv(99))\ns._sock.shutdown(1)\nprint(s._sock.recv(99))\ns.close()",
    "exec-detached": P + "x = c.containers.run('busybox', **sleep)\nprint(x.exec_run('sleep 2', detach=True), x.exec_run('tty', tty=True))",
    "wait": P + "x = c.containers.run('busybox', ['sh', '-c', 'exit 4'], detach=True)\nprint(x.wait(), x.wait(condition='not-running'))",
    "top-stats": P + "x = c.containers.run('busybox', **sleep)\nprint(x.top(), x.stats(stream=False)['id'], next(x.stats(decode=True))['id'])",
    "archive-noise": P + "x = c.containers.create('tiny')\nnoise = os.urandom(100000)\nb = io.BytesIO()\nt = tarfile.open(fileobj=b, mode='w')\ni = tarfile.TarInfo('f'); i.size = len(noise)\nt.addfile(i, io.BytesIO(noise)); t.close()\nx.put_archive('/data', b.getvalue())\nbits, stat = x.get_archive('/data/f')\nback = tarfile.open(fileobj=io.BytesIO(b''.join(bits))).extractfile('f').read()\nprint(stat['size'], back == noise)",
    "archive": P + "x = c.containers.create('tiny')\nbits, stat = x.get_archive('/hello')\nprint(stat['size'], len(b''.join(bits)))\nb = io.BytesIO()\nt = tarfile.open(fileobj=b, mode='w')\ni = tarfile.TarInfo('f'); i.size = 3\nt.addfile(i, io.BytesIO(b'abc')); t.close()\nprint(x.put_archive('/data', b.getvalue()), x.diff(), len(b''.join(x.export())))",
    "images": P + "i = c.images.get('tiny')\nprint(c.images.list(), i.history(), i.tag('other', '1'))\nc.images.remove('other:1')",
    "image-save-load": P + "data = b''.join(c.images.get('tiny').save(named=True))\nprint(len(data), c.images.load(data))",
    "commit": P + "x = c.containers.create('tiny')\ni = x.commit('made', '2', message='m', conf={'Env': ['A=b']})\nprint(i.tags)\nc.images.remove('made:2')",
    "build": P + "i, log = c.images.build(fileobj=io.BytesIO(b'FROM tiny\\nLABEL made=docker-py\\n'), tag='built:py', rm=True)\nprint(list(log))",
    "networks": P + "n = c.networks.create('n1', labels={'a': 'b'})\nprint(c.networks.list(names=['n1']))\nx = c.containers.create('busybox', network_mode='none')\nn.reload(); n.remove()",
    "volumes": P + "v = c.volumes.create('v1', labels={'a': 'b'})\nprint(c.volumes.list(), v.attrs)\nv.remove()",
    "prune": P + "c.containers.create('busybox')\nprint(c.containers.prune(), c.images.prune(), c.networks.prune(), c.volumes.prune())",
    "events": P + "import time\nstart = int(time.time())\nc.volumes.create('v1')\nfor e in c.events(since=start, until=start + 1, filters={'volume': 'v1'}, decode=True): print(e['Action'])",
    "events-closed": P + "s = c.events(decode=True)\nc.volumes.create('v1')\nprint(next(s)['Action'])\ns.close()",
    "errors": E + "for f in (c.containers.get, c.images.get, c.networks.get, c.volumes.get): fails(f, 'nosuch')\nfails(c.images.remove, 'nosuch')\nfails(c.api.kill, 'nosuch')",
    "conflicts": E + "x = c.containers.create('busybox', 'true', name='c1')\nfails(c.containers.create, 'busybox', name='c1')\nfails(x.kill)\nfails(x.pause)\nfails(x.exec_run, 'true')\nfails(c.images.remove, 'busybox')",
    "bad-values": E + "fails(c.containers.create, 'busybox', name='!')\nfails(c.containers.create, 'nosuch')\nfails(c.containers.list, filters={'zz': '1'})\nfails(c.volumes.create, 'v1', driver='nosuch')",
}

D = """const Docker = require('dockerode'), docker = new Docker({ socketPath: process.env.SOCKET });
const sleeper = () => docker.createContainer({ Image: 'busybox', Cmd: ['sleep', '100'], name: 'c1' });
const collect = (stream) => new Promise((done) => { let all = ''; stream.on('data', (d) => { all += d.toString('latin1'); });
  stream.on('end', () => done(all)); stream.on('close', () => done(all)); });
const fails = (promise) => promise.then(() => { throw Error('no error'); }, (e) => console.log(e.statusCode, e.message));
(async () => {
%s
})().then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
"""

DOCKERODE = {name: D % script for name, script in {
    "ping": "console.log(String(await docker.ping()));",
    "version": "console.log((await docker.version()).ApiVersion, (await docker.info()).Name);",
    "list": "await sleeper(); console.log((await docker.listContainers({ all: true })).length, (await docker.listImages()).length, (await docker.listContainers({ filters: { label: ['x'] } })).length);",
    "life": "const c = await sleeper(); await c.start(); await c.pause(); await c.unpause(); await c.restart({ t: 0 }); await c.stop({ t: 0 }); console.log((await c.inspect()).State.Status); await c.remove();",
    "start-twice": "const c = await sleeper(); await c.start(); await fails(c.start()); await c.stop({ t: 0 }); await fails(c.stop());",
    "run": "const s = new (require('stream').PassThrough)(); s.resume(); console.log((await docker.run('busybox', ['echo', 'hi'], s))[0]);",
    "run-tty": "const s = new (require('stream').PassThrough)(); s.resume(); console.log((await docker.run('busybox', ['sh', '-c', 'exit 3'], s, { Tty: true }))[0]);",
    "attach": "const c = await docker.createContainer({ Image: 'busybox', Cmd: ['echo', 'hi'] }); const s = await c.attach({ stream: true, stdout: true, stderr: true }); const all = collect(s); await c.start(); console.log(JSON.stringify(await all));",
    "attach-hijack": "const c = await docker.createContainer({ Image: 'busybox', Cmd: ['cat'], OpenStdin: true, StdinOnce: true }); const s = await c.attach({ stream: true, stdin: true, stdout: true, hijack: true }); const all = collect(s); await c.start(); s.write('in\\n'); s.end(); console.log(JSON.stringify(await all));",
    "exec": "const c = await sleeper(); await c.start(); const e = await c.exec({ Cmd: ['sh', '-c', 'echo out; echo err >&2; exit 3'], AttachStdout: true, AttachStderr: true }); const s = await e.start({}); console.log(JSON.stringify(await collect(s)), (await e.inspect()).ExitCode);",
    "exec-hijack": "const c = await sleeper(); await c.start(); const e = await c.exec({ Cmd: ['cat'], AttachStdin: true, AttachStdout: true }); const s = await e.start({ hijack: true, stdin: true }); const all = collect(s); s.write('through\\n'); s.end(); console.log(JSON.stringify(await all));",
    "exec-detached": "const c = await sleeper(); await c.start(); const e = await c.exec({ Cmd: ['true'] }); await e.start({ Detach: true }); await fails(docker.getExec('nosuch').start({}));",
    "exec-tty": "const c = await sleeper(); await c.start(); const e = await c.exec({ Cmd: ['echo', 'hi'], AttachStdout: true, Tty: true }); const s = await e.start({ Tty: true }); console.log(await collect(s));",
    "logs": "const c = await docker.createContainer({ Image: 'busybox', Cmd: ['sh', '-c', 'echo out; sleep 0.2; echo err >&2'] }); await c.start(); await c.wait(); console.log((await c.logs({ stdout: true, stderr: true })).length, (await c.logs({ stdout: true, tail: 1 })).length);",
    "logs-follow": "const c = await docker.createContainer({ Image: 'busybox', Cmd: ['sh', '-c', 'echo 1; sleep 0.5; echo 2'] }); await c.start(); console.log(JSON.stringify(await collect(await c.logs({ follow: true, stdout: true }))));",
    "logs-destroyed": "const c = await docker.createContainer({ Image: 'busybox', Cmd: ['sh', '-c', 'echo 1; sleep 100'] }); await c.start(); const s = await c.logs({ follow: true, stdout: true }); await new Promise((done) => s.once('data', done)); s.destroy(); await c.kill();",
    "wait": "const c = await docker.createContainer({ Image: 'busybox', Cmd: ['sh', '-c', 'exit 5'] }); await c.start(); console.log(await c.wait());",
    "top-stats": "const c = await sleeper(); await c.start(); console.log((await c.top()).Titles, (await c.stats({ stream: false })).name); const s = await c.stats(); await new Promise((done) => s.once('data', done)); s.destroy();",
    "changes": "const c = await docker.createContainer({ Image: 'busybox', Cmd: ['touch', '/x'] }); await c.start(); await c.wait(); console.log(await c.changes());",
    "archive": "const c = await docker.createContainer({ Image: 'tiny' }); console.log((await collect(await c.getArchive({ path: '/hello' }))).length, (await collect(await c.export())).length); await fails(c.getArchive({ path: '/nosuch' }));",
    "images": "const i = docker.getImage('tiny'); console.log((await i.inspect()).Id, (await i.history()).length); await i.tag({ repo: 'other', tag: '3' }); console.log(await docker.getImage('other:3').remove());",
    "commit": "const c = await docker.createContainer({ Image: 'tiny' }); console.log(await c.commit({ repo: 'made', tag: 'js', comment: 'm' })); await docker.getImage('made:js').remove();",
    "networks": "const n = await docker.createNetwork({ Name: 'n1' }); console.log((await n.inspect()).Name, (await docker.listNetworks()).length); await n.remove();",
    "volumes": "const v = await docker.createVolume({ Name: 'v1' }); console.log((await v.inspect()).Name, (await docker.listVolumes()).Volumes.length); await v.remove();",
    "prune": "await sleeper(); console.log(await docker.pruneContainers(), await docker.pruneVolumes(), await docker.pruneNetworks());",
    "events": "const s = await docker.getEvents({ filters: { type: ['volume'] } }); const first = new Promise((done) => s.once('data', done)); await docker.createVolume({ Name: 'v1' }); console.log(String(await first)); s.destroy();",
    "errors": "await fails(docker.getContainer('nosuch').inspect()); await fails(docker.getContainer('nosuch').start()); await fails(docker.getImage('nosuch').remove()); await fails(docker.createContainer({ Image: 'nosuch' })); await fails(docker.getContainer('nosuch').attach({ stream: true, stdout: true, hijack: true }));",
    "pull-fails": "await fails(docker.pull('127.0.0.1:9/nosuch:1'));",
}.items()}
