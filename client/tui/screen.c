/* SPDX-License-Identifier: GPL-2.0-only */
/* The only file that knows ncurses. */
#include "screen.h"

#include <curses.h>
#include <string.h>

/* Escape alone is a key here: how long to wait for the rest of a sequence. */
#define ESCAPE_MS 25

enum { PAIR_PYTHON = 1, PAIR_KERNEL, PAIR_WARNING };

static SCREEN *screen;

int pp_screen_open(bool color)
{
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return -ENOTTY;
	set_escdelay(ESCAPE_MS);
	cbreak();
	noecho();
	nonl(); /* Enter is \r, not the \n of Ctrl-J */
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	if (color && has_colors() && start_color() == OK) {
		use_default_colors();
		init_pair(PAIR_PYTHON, COLOR_GREEN, -1);
		init_pair(PAIR_KERNEL, COLOR_RED, -1);
		init_pair(PAIR_WARNING, COLOR_YELLOW, -1);
	}
	return 0;
}

void pp_screen_close(void)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen);
	screen = NULL;
}

void pp_screen_size(int *width, int *height)
{
	getmaxyx(stdscr, *height, *width);
}

/* Pairs that were not set up are the default colours. */
static attr_t attributes(enum pp_page_style style)
{
	switch (style) {
	case PP_STYLE_TITLE:
		return A_BOLD;
	case PP_STYLE_WARNING:
		return A_BOLD | COLOR_PAIR(PAIR_WARNING);
	case PP_STYLE_HEADER:
	case PP_STYLE_CURSOR:
		return A_REVERSE;
	case PP_STYLE_PYTHON:
		return COLOR_PAIR(PAIR_PYTHON);
	case PP_STYLE_KERNEL:
		return COLOR_PAIR(PAIR_KERNEL);
	case PP_STYLE_KEYS:
		return A_DIM;
	case PP_STYLE_PLAIN:
		break;
	}
	return A_NORMAL;
}

void pp_screen_paint(const struct pp_page *page)
{
	int width, height;

	pp_screen_size(&width, &height);
	erase();
	for (int y = 0; y < height && (size_t)y < page->nr; y++) {
		const struct pp_page_line *line = &page->lines[y];
		attr_t a = attributes(line->style);

		attrset(a);
		if (line->style == PP_STYLE_HEADER || line->style == PP_STYLE_CURSOR)
			mvhline(y, 0, ' ' | a, width);
		mvaddstr(y, 0, line->text);
	}
	attrset(A_NORMAL);
	refresh();
}

bool pp_screen_key(unsigned int *ret)
{
	static const struct {
		int curses;
		unsigned int key;
	} keys[] = {
		{ KEY_UP, PP_KEY_UP },
		{ KEY_DOWN, PP_KEY_DOWN },
		{ KEY_LEFT, PP_KEY_LEFT },
		{ KEY_RIGHT, PP_KEY_RIGHT },
		{ KEY_PPAGE, PP_KEY_PAGE_UP },
		{ KEY_NPAGE, PP_KEY_PAGE_DOWN },
		{ KEY_HOME, PP_KEY_HOME },
		{ KEY_END, PP_KEY_END },
		{ KEY_ENTER, PP_KEY_ENTER },
		{ '\r', PP_KEY_ENTER },
		{ '\n', PP_KEY_ENTER },
		{ 27, PP_KEY_ESCAPE },
		{ KEY_BACKSPACE, PP_KEY_BACKSPACE },
		{ 127, PP_KEY_BACKSPACE },
		{ 8, PP_KEY_BACKSPACE },
		{ '\t', PP_KEY_TAB },
		{ KEY_RESIZE, 0 },
	};
	int c = getch();

	if (c == ERR)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].curses == c) {
			*ret = keys[i].key;
			return true;
		}
	*ret = c < 0x100 ? (unsigned int)c : 0;
	return true;
}
