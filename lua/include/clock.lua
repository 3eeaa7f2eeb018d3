-- clock: the server's time, the only clock that decides anything.
-- Needs: call
-- Gives: now_ms
local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
