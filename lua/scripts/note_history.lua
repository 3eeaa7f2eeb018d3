-- note_history: keep a point of the history by label, or ask for the turn to make one.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] interval_ms int least distance of two points
-- ARGV[3] pause_ms int after this point no other is made for so long
-- ARGV[4] most int points that are kept; with one more, every second one goes and the distance doubles
-- ARGV[5] point str what is kept; empty: ask for the turn
-- Returns [whether the turn is the caller's, or the point was kept; ms until the next turn]
-- Errors RCSTALE generation: a restore replaced it; nothing was written
-- Atomic. O(most) once in most / 2 points, else O(log most). The turn goes to one worker, whoever asks.

--@include keys
--@include clock
--@include reader
local history, times = prefix .. 'history', prefix .. 'history:times'
local now, count = now_ms(), call('ZCARD', times)
local stored = call('HMGET', history, 'interval_ms', 'due_ms')
local interval, due = tonumber(stored[1]), tonumber(stored[2]) or 0
if not (interval and interval > tonumber(interval_ms) and interval < 2 ^ 43) then
  interval = tonumber(interval_ms)
end
if point == '' then
  if now < due then
    return { 0, due - now }
  end
  call('HSET', history, 'due_ms', now + interval)
  return { 1, interval }
end
local at = string.format('%.0f', now)
call('ZADD', times, at, at)
call('HSET', history, at, point)
if count + 1 > tonumber(most) then
  for i, old in ipairs(call('ZRANGE', times, 0, count)) do
    if i % 2 == 0 then
      call('ZREM', times, old)
      call('HDEL', history, old)
    end
  end
  interval = 2 * interval
end
local pause = math.max(interval, pause_ms)
call('HSET', history, 'interval_ms', interval, 'due_ms', now + pause)
return { 1, pause }
