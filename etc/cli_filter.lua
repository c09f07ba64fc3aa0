-- Sample: plain sbatch with carbon options starts when carm-submit would have started it. For CliFilterPlugins=lua in
-- slurm.conf; the file belongs beside it, on every host:
-- an `srun` in a job fails on a node without it. A convenience and no enforcement: users can get round a CLI filter.
-- Tried on Slurm 22.05. Whatever fails, the job is submitted as written.

local carm_submit = "/usr/bin/carm-submit"

local function quoted(text) return "'" .. tostring(text):gsub("'", "'\\''") .. "'" end

local function seconds(text, key) -- of a time in carm-submit's JSON; only differences are used, so the zone does not matter
    local y, mo, d, h, mi, s = text:match('"' .. key .. '": "(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)')
    return y and os.time({ year = y, month = mo, day = d, hour = h, min = mi, sec = s, isdst = false })
end

function slurm_cli_pre_submit(options, offset)
    local carbon = {} -- Slurm shows an option without argument as "set" or "unset"
    for name, value in pairs((options["spank"] or {})["carm"] or {}) do
        if value ~= "unset" then carbon[name] = value end
    end
    local asked = next(carbon) ~= nil and not carbon["carbon-off"]
    -- carm-submit's own hand-over carries its plan; a job that waits for something else already is left alone.
    -- carm-submit asks Slurm through sbatch itself: its questions must not ask it again.
    if os.getenv("CARM_TEST_ONLY") then return slurm.SUCCESS end
    if options["type"] ~= "sbatch" or not asked or carbon["carm-work-s"] or options["begin"] ~= "Unknown" or options["dependency"] then
        return slurm.SUCCESS
    end
    -- Without questions of its own to Slurm: whoever submits is waiting.
    local command = "CARM_TEST_ONLY=1 timeout 2 " .. carm_submit .. " --dry-run --json --wrap=true"
    for _, name in ipairs({ "gpus", "gpus-per-node", "gpus-per-task", "gres", "nodes", "ntasks", "time", "partition", "deadline" }) do
        local value = options[name]
        if value and value ~= "Unknown" then -- here gres reads "gres:gpu:2", and nodes "1-0" where no most is given
            command = command .. " --" .. name .. "=" .. quoted((tostring(value):gsub("gres:", ""):gsub("^(%d+)%-0$", "%1")))
        end
    end
    for name, value in pairs(carbon) do
        local bare = value == "set" or value == "(null)" or value == ""
        command = command .. " --" .. name .. (bare and "" or "=" .. quoted(value))
    end
    local pipe = io.popen(command .. " 2>/dev/null")
    local text = pipe and pipe:read("*a") or ""
    if pipe then pipe:close() end
    local plan = text:match('"plan": (%b{})')
    local now, start = seconds(text, "now"), plan and seconds(plan, "start")
    if now and start and start > now then
        options["begin"] = "now+" .. (start - now)
        options["partition"] = plan:match('"partition": "([^"]+)"') or options["partition"]
        slurm.log_info("CARM: starts in %d s, for greener power; at once instead: --carbon-max-delay=0s", start - now)
    end
    return slurm.SUCCESS
end

function slurm_cli_setup_defaults(options, early) return slurm.SUCCESS end

function slurm_cli_post_submit(offset, job_id, step_id) return slurm.SUCCESS end
