/* Runs a fuzz target once over every file of the folder given: what was found once is tested for
 * ever, without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int run_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *f = fopen(path, "rb");
    if (!f)
        return -1;
    size_t n = fread(data, 1, sizeof(data), f);
    fclose(f);
    fprintf(stderr, "%s\n", path); /* the last line names the file that failed */
    return LLVMFuzzerTestOneInput(data, n);
}

int main(int argc, char **argv)
{
    struct dirent *e;
    unsigned files = 0;
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    while (dir && (e = readdir(dir))) {
        char path[4096];
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
        if (run_file(path) != 0)
            return 1;
        files++;
    }
    if (dir)
        closedir(dir);
    return files > 0 ? 0 : 1; /* a folder that went missing is a failure */
}
