// The address bar, tied to the server's Selection: whatever changes one reaches the other.

import { go, onAddress } from "./links.js"

export const address = (place, line) => {
  const tell = () => line.send({ search: location.search })
  onAddress(tell)
  line.listen(({ search }) => { if (search !== location.search) go(search || location.pathname) })
  // What was clicked before the connection stood is said as soon as it does.
  if (line.data.search !== location.search) tell()
}
