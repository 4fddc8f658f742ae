// Keeps the address bar and the server's Selection in sync, in both directions.

import { go, onAddress } from "./links.js"

export const address = (place, line) => {
  const sendSearch = () => line.send({ search: location.search })
  onAddress(sendSearch)
  line.listen(({ search }) => { if (search !== location.search) go(search || location.pathname) })
  // Clicks from before the connection was open are sent once it is.
  if (line.data.search !== location.search) sendSearch()
}
