// The connection of one part of the page to the server.
//
// The page is first drawn from the data in its HTML. The connection opens a moment later, and
// from then on delivers changes.

export class Line {
  constructor(part, data) {
    this.part = part
    this.data = data
    this.listeners = []
    this.unsent = []
  }

  listen(callback) {
    this.listeners.push(callback)
  }

  receive(message) {
    this.data = message
    for (const callback of this.listeners) callback(message)
  }

  send(message) {
    if (this.model) this.model.send_msg({ part: this.part, ...message })
    else this.unsent.push(message)
  }

  connect(model) {
    this.model = model
    for (const message of this.unsent.splice(0)) this.send(message)
  }
}
