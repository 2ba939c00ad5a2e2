// An IPFS node of the tests' own: js-ipfs with its RPC, on loopback alone; it asks nobody, announces nothing, finds nobody.
//
//   node node.mjs <repo> <RPC port, 0 for any>    from the folder in which npm put its modules (benchmarks.peers, "ipfs")
//
// `<repo>/api` names the RPC's address once it answers. The node ends with SIGTERM, or with the process that started it: then
// its standard input ends.
import { rm } from 'node:fs/promises'
import { create } from 'ipfs-core'
import { HttpApi } from 'ipfs-http-server'

// Whoever gives up on a block that is nowhere leaves a rejected promise behind, which would end the process.
process.on('unhandledRejection', error => console.error('unhandled:', error))

const [repo, port] = process.argv.slice(2)
await rm(`${repo}/repo.lock`, { recursive: true, force: true }) // of a node that was killed
await rm(`${repo}/api`, { force: true })
const node = await create({
  repo,
  silent: true,
  init: { emptyRepo: true, algorithm: 'Ed25519' },
  preload: { enabled: false },
  config: {
    Bootstrap: [],
    Addresses: { Swarm: ['/ip4/127.0.0.1/tcp/0'], API: `/ip4/127.0.0.1/tcp/${port}`, Gateway: '', Delegates: [] },
    Discovery: { MDNS: { Enabled: false }, webRTCStar: { Enabled: false } },
    Swarm: { DisableNatPortMap: true },
    Routing: { Type: 'none' }
  }
})
const rpc = new HttpApi(node)
await rpc.start()

const stop = async () => {
  await rpc.stop()
  await node.stop()
  process.exit(0)
}
process.on('SIGTERM', stop)
process.stdin.on('end', stop).resume()
