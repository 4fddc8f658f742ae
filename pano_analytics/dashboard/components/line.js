// The line of one part of the page to the server.
//
// The page draws itself at once from the answers inside it. The connection follows a second
// later, and from then on carries what changes.

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
