-- draw: choose tasks exactly by section 5's distribution, without a pass over the pool (_sampling/draw.py).
-- Needs keys, guard, hypers, random, drive, evictable.
local TRIALS, MOST_TRIALS, STRATA_FROM = 64, 1024, 32
local fresh_count = call('ZCARD', pool .. 'fresh')
local learning_count, ripe_count = call('ZCARD', pool .. 'learning'), call('ZCARD', pool .. 'ripe')
local eligible_count = learning_count + ripe_count
local all_count = fresh_count + eligible_count
local monotone = not pooled and bonus == 0 -- the weight is a function of the sorted sets' score
local equal, mean, std = false, 0, 1

local function load_moments()
  local s = call('BITFIELD', pool .. 'sums', 'GET', 'i64', '#0', 'GET', 'i64', '#1', 'GET', 'i64', '#2', 'GET', 'i64', '#3')
  mean = s[1] / eligible_count
  local variance = (s[4] * 4398046511104 + s[3] * 4194304 + s[2]) / eligible_count - mean * mean
  equal = variance <= mean * mean * 1e-14
  std = equal and 1 or math.sqrt(variance)
end

local function weight(y)
  if temperature > 0 then
    return 1 / (1 + math.exp(-(y + smoothing) / temperature))
  end
  return 1 / (1 + math.exp(-amplification * ((fixed(y) - mean) / std)))
end

-- Id and, with WITHSCORES, LP at a rank: as text, since numbers are printed to 17 digits, each time.
local function at(part, rank, ...)
  rank = string.format('%d', rank)
  return unpack(call('ZRANGE', pool .. part, rank, rank, ...))
end

-- The rank-th of learning, then ripe, in ascending order; with its own LP.
local function eligible_at(rank)
  local part = 'learning'
  if rank >= learning_count then
    part, rank = 'ripe', rank - learning_count
  end
  if monotone then
    return at(part, rank, 'WITHSCORES')
  end
  return at(part, rank)
end

local label_weights, tried = {}, 0
local function weight_of(id, lp)
  if monotone then
    return weight(tonumber(lp))
  end
  if not pooled then
    local own = call('HMGET', pool .. 'task:' .. id, 'learning_progress', 'p_true')
    return weight(drive(tonumber(own[1]), tonumber(own[2])))
  end
  local label = call('HGET', pool .. 'task:' .. id, 'label') -- not params: they may be 64 KiB, and many a trial fails
  local known = label_weights[label]
  if not known then
    local of = call('HMGET', pool .. 'progress:' .. label, 'learning_progress', 'p_true')
    known = weight(drive(tonumber(of[1] or 0), tonumber(of[2] or 0)))
    label_weights[label] = known
  end
  return known
end

-- Strata of descending LP, each a quarter of what lies above it: the envelope exceeds the mass by a quarter at most.
local strata
local function build_strata()
  strata = { total = 0 }
  for _, part in ipairs({ 'learning', 'ripe' }) do
    local count, start = part == 'learning' and learning_count or ripe_count, 0
    while start < count do
      local size = math.min(math.max(1, math.floor(start / 4)), count - start)
      local top = call('ZREVRANGE', pool .. part, start, start, 'WITHSCORES')
      local w = weight(tonumber(top[2]))
      strata.total = strata.total + size * w
      strata[#strata + 1] = { part = part, start = start, size = size, top = w, upto = strata.total, id = top[1] }
      start = start + size
    end
  end
end

local function draw_stratified()
  for _ = 1, MOST_TRIALS do
    local v, low, high = uniform() * strata.total, 1, #strata
    while low < high do
      local middle = math.floor((low + high) / 2)
      if v < strata[middle].upto then
        high = middle
      else
        low = middle + 1
      end
    end
    local stratum = strata[low]
    if stratum.size == 1 then
      return stratum.id
    end
    local rank = string.format('%d', stratum.start + index(stratum.size))
    local found = call('ZREVRANGE', pool .. stratum.part, rank, rank, 'WITHSCORES')
    if uniform() * stratum.top < weight(tonumber(found[2])) then
      return found[1]
    end
  end
end

local function draw_eligible(count)
  if equal or (temperature == 0 and amplification == 0) then
    return (eligible_at(index(eligible_count)))
  end
  if not (monotone and (strata or count >= STRATA_FROM)) then
    for _ = 1, monotone and TRIALS or MOST_TRIALS do
      tried = tried + (monotone and 0 or 1)
      local id, lp = eligible_at(index(eligible_count))
      if uniform() < weight_of(id, lp) then
        return id
      end
    end
    if not monotone then
      return nil
    end
  end
  if not strata then
    build_strata()
  end
  return draw_stratified()
end

local function draw_uniform()
  local rank = index(all_count)
  if rank < fresh_count then
    return at('fresh', rank)
  end
  return (eligible_at(rank - fresh_count))
end

-- Returns the drawn ids and how many draws shall be new tasks in place of evicted ones.
local function draw(count, replay)
  local drawn, wanted, share = {}, 0, 0
  for id in string.gmatch(replay, '%d+') do
    drawn[#drawn + 1] = id
  end
  if all_count == 0 or drawn[1] or count == 0 then
    return drawn, 0
  end
  if fresh_count > 0 then
    local held = bonus_rule and fresh_count * explore / (1 + fresh_count * explore)
      or math.max(explore, fresh_count / all_count)
    share = eligible_count == 0 and 1 or held
  end
  if eligible_count > 0 and temperature == 0 then
    load_moments()
  end
  for _ = 1, count do
    local id
    if replacement_rate > 0 and uniform() < replacement_rate and #evictable(wanted + 1, percentile) > wanted then
      wanted = wanted + 1
      id = true
    elseif rand_rate > 0 and uniform() < rand_rate then
      id = draw_uniform()
    elseif share == 1 or (share > 0 and uniform() < share) then
      id = at('fresh', index(fresh_count))
    else
      id = draw_eligible(count)
    end
    if id and id ~= true then
      drawn[#drawn + 1] = id
    end
    if not id or tried >= MOST_TRIALS then -- the rest is for the next call; between two draws that favours no task
      break
    end
  end
  store_random()
  return drawn, wanted
end
