// An editor on Yjs and y-websocket. Commands come as lines of JSON on stdin, each is answered by a line.
import { createInterface } from 'node:readline'
import { WebSocket } from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

const doc = new Y.Doc()
const text = doc.getText('text')
const provider = new WebsocketProvider(process.argv[2], 'yjs', doc, {
  WebSocketPolyfill: WebSocket,
  disableBc: true,
})
let closed = null
provider.on('closed', (event) => { closed = event })
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const until = async (condition) => { while (!condition()) await pause(2) }

// Between characters, never within one: some are two of JavaScript's units.
const somePlace = () => {
  const characters = [...text.toString()]
  const place = Math.floor(Math.random() * (characters.length + 1))
  return characters.slice(0, place).join('').length
}

const commands = {
  sync: () => until(() => provider.synced),
  // Each character of the string at some place, with pauses.
  async write ({ characters }) {
    for (const character of characters) {
      text.insert(somePlace(), character)
      await pause(Math.random() * 8)
    }
  },
  insert: ({ index, characters }) => text.insert(index, characters),
  delete: ({ index, length }) => text.delete(index, length),
  format: ({ index, length }) => text.format(index, length, { bold: true }),
  embed: ({ index }) => text.insertEmbed(index, { image: 'x' }),
  async disconnect () {
    provider.disconnect()
    await until(() => !provider.wsconnected)
  },
  connect: () => provider.connect(),
  aware: ({ state }) => provider.awareness.setLocalState(state),
  others: () => [...provider.awareness.getStates()].filter(([id]) => id !== doc.clientID).map(([, state]) => state),
  async closed () {
    await until(() => closed)
    return { ...closed, isConnecting: provider.shouldConnect }
  },
  text: () => text.toString(),
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  const answer = await commands[command.do](command)
  process.stdout.write(JSON.stringify(answer ?? null) + '\n')
}
await commands.disconnect()
// The awareness protocol's timer runs on for ever.
process.exit()
