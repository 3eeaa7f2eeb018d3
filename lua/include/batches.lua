-- batches: what was drawn under each key, so that whoever asks later is answered the same: in the hash `batches` the number of
-- tasks that was asked for and their ids, in the sorted set `batch_order` the order of the keys.
-- Needs: call, pool, key, skip_right, skip_wrong, malformed
-- Gives: read_batch, drawn_lately, is_passed_over, keep_batch
local batches_key, order_key = pool .. 'batches', pool .. 'batch_order'

-- The number that was asked for, and the ids; nil and none where nobody has asked.
local function read_batch(name)
  local ids, text = {}, call('HGET', batches_key, name)
  local asked, words = string.match(text or '', '^(%d+)([%d ]*)$')
  if text and not asked then
    malformed(batches_key, name, text)
  end
  for id in string.gmatch(words or '', '%d+') do
    ids[#ids + 1] = id
  end
  return tonumber(asked), ids
end

-- Id to how many batches ago it was drawn, as far back as tasks are passed over.
local function drawn_lately()
  local found, far = {}, math.max(tonumber(skip_right), tonumber(skip_wrong))
  local names = far > 0 and call('ZREVRANGE', order_key, 0, far) or {}
  local ago = 0
  for _, name in ipairs(names) do
    if name ~= key then
      ago = ago + 1
      local _, ids = read_batch(name)
      for _, id in ipairs(ids) do
        found[id] = found[id] or ago
      end
    end
  end
  return found
end

local function is_passed_over(id, ago)
  local score = ago and tonumber(call('HGET', pool .. 'task:' .. id, 'last_score') or '')
  return score == 1 and ago <= tonumber(skip_right) or score == 0 and ago <= tonumber(skip_wrong)
end

local function keep_batch(ids, asked, most)
  if call('HEXISTS', batches_key, key) == 0 then
    local latest = call('ZREVRANGE', order_key, 0, 0, 'WITHSCORES')
    call('ZADD', order_key, string.format('%.0f', (latest[2] or 0) + 1), key)
    local behind = call('ZCARD', order_key) - most
    for _, name in ipairs(behind > 0 and call('ZRANGE', order_key, 0, behind - 1) or {}) do
      call('HDEL', batches_key, name)
      call('ZREM', order_key, name)
    end
  end
  call('HSET', batches_key, key, string.format('%d ', asked) .. table.concat(ids, ' '))
end
