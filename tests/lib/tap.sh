# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# TAP for tests written in bash. Sourced:
#
#   . "$(dirname "$0")/../lib/tap.sh"
#   is "$(command)" 'expected' 'what that shows'
#   ok 'a condition' test -e file
#   finish
#
# A failed check does not end the program; finish prints the plan and exits 1 if any failed.

tap_count=0
tap_failed=0

# pass TITLE
pass()
{
	((++tap_count))
	echo "ok $tap_count - $1"
}

# fail TITLE [TEXT]: TEXT explains, as a diagnostic.
fail()
{
	((++tap_count))
	((++tap_failed))
	echo "not ok $tap_count - $1"
	[[ -z ${2-} ]] || printf '# %s\n' "${2//$'\n'/$'\n'# }"
}

# skip TITLE REASON
skip()
{
	((++tap_count))
	echo "ok $tap_count - $1 # SKIP $2"
}

# ok TITLE COMMAND...: passes if the command succeeds; else its output is shown.
ok()
{
	local title=$1 output
	shift
	if output=$("$@" 2>&1); then
		pass "$title"
	else
		fail "$title" "$*"$'\n'"$output"
	fi
}

# is ACTUAL EXPECTED TITLE
is()
{
	if [[ $1 = "$2" ]]; then
		pass "$3"
	else
		fail "$3" "$(diff <(echo "$2") <(echo "$1"))"
	fi
}

# empty TITLE TEXT: passes if there is no text; for checks that print what is wrong.
empty()
{
	if [[ -z $2 ]]; then
		pass "$1"
	else
		fail "$1" "$2"
	fi
}

# finish: prints the plan; the program's last command.
finish()
{
	echo "1..$tap_count"
	exit $((tap_failed > 0))
}

# skip_all REASON: ends a program that cannot run here at all.
skip_all()
{
	echo "1..0 # SKIP $1"
	exit 0
}
