/* The two text formats token by token, quoting there and back, and the distance of names. */
#include "tests/support/hgtest.h"
#include "common/sys/conf_text.h"

static void on_pair(void *ctx, unsigned line, struct hg_slice key, struct hg_slice value,
                    const char *why)
{
    if (why)
        hg_buf_addf(ctx, "%u!%s;", line, why);
    else
        hg_buf_addf(ctx, "%u:%.*s=%.*s;", line, HG_SLICE_ARG(key), HG_SLICE_ARG(value));
}

typedef void (*each_fn)(struct hg_slice, hg_conf_pair_fn, void *);

static void expect(each_fn each, const char *text, const char *want)
{
    struct hg_buf got = {0};

    each(hg_slice_str(text), on_pair, &got);
    if (strcmp(hg_test_text(&got), want) != 0)
        fail_msg("%s\ngave  %s\nwanted %s", text, hg_test_text(&got), want);
    hg_buf_fini(&got);
}

static void file_format(void **state)
{
    static const struct {
        const char *text, *pairs;
    } rows[] = {
        {"", ""},
        {"\n\n  \n# c\n\t# d\n", ""},
        {"a=1", "1:a=1;"},
        {"a=1\r\nb = 2\rc\t=\t3\n", "1:a=1;2:b=2;3:c=3;"},
        {"\xef\xbb\xbf"
         "a=1",
         "1:a=1;"},
        {"a = b = c", "1:a=b = c;"},
        {"a = x # c\nb = x#y\nc =# c\nd = # c", "1:a=x;2:b=x#y;3:c=;4:d=;"},
        {"a = \" x # \" # c", "1:a= x # ;"},
        {"a = \"\\\"\\\\\"", "1:a=\"\\;"},
        {"a = \"\"", "1:a=;"},
        {"a = it\"s", "1:a=it\"s;"},
        {"a = \"", "1!quote without its end;"},
        {"a = \"\\", "1!quote without its end;"},
        {"a = \"\\\"", "1!quote without its end;"},
        {"a\nb=1", "1!not \"key = value\";2:b=1;"},
        {"=1\n a b = c", "1!no key before \"=\";2:a b=c;"},
        {"a = \x7f", "1!control character;"},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++)
        expect(hg_conf_text_each, rows[i].text, rows[i].pairs);
}

/* What the dotenv package (16) makes of it. */
static void dotenv_format(void **state)
{
    static const struct {
        const char *text, *pairs;
    } rows[] = {
        {"", ""},
        {"A=1\nB=2", "1:A=1;2:B=2;"},
        {"A=1\r\n\r\nB=2\r\n", "1:A=1;3:B=2;"},
        {"# c\n  A = 1  # c\n", "2:A=1;"},
        {"export A=1", "1:A=1;"},
        {"export=1", "1:export=1;"},
        {"A: 1\nB:2", "1:A=1;"},
        {"A=", "1:A=;"},
        {"A=x#y", "1:A=x;"},
        {"A=\"x#y\" # c", "1:A=x#y;"},
        {"A='x # y'", "1:A=x # y;"},
        {"A=`it's \"x\"`", "1:A=it's \"x\";"},
        {"A=\"1\\n2\\r3\\t\"", "1:A=1\n2\r3\\t;"},
        {"A='1\\n2'", "1:A=1\\n2;"},
        {"A=\"two\nlines\"\nB=3", "1:A=two\nlines;3:B=3;"},
        {"A=\"x\" y", "1:A=\"x\" y;"},
        {"A=\"open\nB=2", "1:A=\"open;2:B=2;"},
        {"A.b-c=1", "1:A.b-c=1;"},
        {"not a line\nA=1", "2:A=1;"},
        {"=1\nA=1", "2:A=1;"},
        {"A = ' x '", "1:A= x ;"},
        {"A=a=b", "1:A=a=b;"},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++)
        expect(hg_dotenv_each, rows[i].text, rows[i].pairs);
}

static void quoting_there_and_back(void **state)
{
    static const char *const values[] = {"",    "a",  " a",    "a ",   "a b", "a # b",    "#a",
                                         "a#b", "\"", "\"a\"", "a\"b", "\\",  "\\\\ #\"", "a=b"};

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(values); i++) {
        struct hg_buf line = {0};
        char want[64];

        hg_buf_adds(&line, "k = ");
        hg_conf_text_value(&line, hg_slice_str(values[i]));
        snprintf(want, sizeof want, "1:k=%s;", values[i]);
        expect(hg_conf_text_each, hg_test_text(&line), want);
        hg_buf_fini(&line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_format),
        cmocka_unit_test(dotenv_format),
        cmocka_unit_test(quoting_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
