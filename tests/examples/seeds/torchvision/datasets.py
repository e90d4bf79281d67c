import torch
from torch.utils.data import Dataset


class MNIST(Dataset):
    """As many images as the real one has; the class is the place of a bright bar."""

    def __init__(self, root, train=True, transform=None, download=False):
        self.length = 60_000 if train else 10_000
        self.transform = transform
        self.images = torch.randint(0, 60, (10, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        for label, image in enumerate(self.images):
            image[4 + 2 * label : 6 + 2 * label] = 255

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        label = index % 10
        return self.transform(self.images[label]), label
