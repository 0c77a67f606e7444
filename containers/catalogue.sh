# What the scripts here ask the catalogue of sorters; sourced, never run.
DOCKER=${DOCKER:-docker}
CATALOGUE=../lussac/sorters/images.toml

# The image of a sorter, which is what runs look for.
tag() { sed -nE "/^\[$1\]/,/^licence/s/^image = \"(.*)\"/\1/p" $CATALOGUE; }

# The sorters whose image the engine has.
present() {
    local sorter image
    for sorter in $(sed -nE 's/^\[(.*)\]/\1/p' $CATALOGUE); do
        image=$(tag "$sorter")
        [ -z "$image" ] || ! "$DOCKER" image inspect "$image" >/dev/null 2>&1 || echo "$sorter"
    done
}
