"""Names of the models in words, for tables and pictures; nothing heavy is imported here."""

NAMES = {
    "fvsbn": "FVSBN",
    "made": "MADE",
    "nade": "NADE",
    "pixel_gru": "GRU over pixels",
    "row_lstm": "Row LSTM",
    "diagonal_bilstm": "Diagonal BiLSTM",
    "pixelcnn": "PixelCNN",
    "gated_pixelcnn": "Gated PixelCNN",
    "conditional_gated_pixelcnn": "Gated PixelCNN, given the class",
    "pixelcnnpp": "PixelCNN++",
    "color_pixelcnnpp": "PixelCNN++ on color images",
    "vae": "VAE",
    "conditional_vae": "VAE, given the class",
    "poisson_vae": "VAE with Poisson latents",
    "iwae": "VAE trained as IWAE",
    "vqvae": "VQ-VAE with a PixelCNN prior",
    "gan": "GAN",
    "conditional_dcgan": "DCGAN, given the class",
    "vaegan": "VAE-GAN",
    "classifier": "Classifier",
}
